# Names of a stack, read by compose and down.
stack="${FACE_ASSETS_STACK:-face-assets}"
# The image contains this folder writable for everybody, and so is a new volume; one that is mounted elsewhere belongs to root. Servers,
# gateway and network are named by the path of the state directory, so each stack has another.
home=/var/lib/face-assets
if [ "$stack" != face-assets ]; then home="$home/$stack"; fi
home_name="$(printf '["%s"]' "$home" | sha256sum | cut -c1-8)"  # as face_assets/core/fingerprint.py does it
