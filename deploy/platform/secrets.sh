# The folder of a stack's secrets, read by compose and users. Its files are for the user of the containers alone.
state="${XDG_STATE_HOME:-$HOME/.local/state}/$stack"
export FACE_ASSETS_SECRETS="${FACE_ASSETS_SECRETS:-$state/secrets}"
# containers write to the data repository and read the secrets as whoever owns them
export FACE_ASSETS_USER="${FACE_ASSETS_USER:-$(id -u):$(id -g)}"

give() {  # FILE: root may name another user than itself for the containers
    if [ "$(id -u)" = 0 ]; then chown "$FACE_ASSETS_USER" "$1"; fi
}

keep() {  # FILE: standard input, for nobody else to read
    (umask 077 && cat >"$1.part")
    give "$1.part"
    mv "$1.part" "$1"
}

random_text() { head -c 24 /dev/urandom | base64 | tr -d '/+=\n'; }

make_secrets() {  # those that are missing
    local folder name
    for folder in "$FACE_ASSETS_SECRETS" "$FACE_ASSETS_SECRETS/signin"; do
        if [ ! -d "$folder" ]; then
            (umask 077 && mkdir -p "$folder")
            give "$folder"
        fi
    done
    for name in postgres_password proxy_token signin/proxy_password; do
        if [ ! -s "$FACE_ASSETS_SECRETS/$name" ]; then random_text | keep "$FACE_ASSETS_SECRETS/$name"; fi
    done
    if [ ! -s "$FACE_ASSETS_SECRETS/signin/users.cfg" ]; then echo "userlist people" | keep "$FACE_ASSETS_SECRETS/signin/users.cfg"; fi
}
