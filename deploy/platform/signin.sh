# Starts the sign-in's HAProxy with what its configuration reads from the environment.
set -eu
PROXY_TOKEN="$(cat /run/secrets/proxy_token)"
PROXY_PASSWORD_DIGEST="$(sha256sum </run/signin/proxy_password | cut -d' ' -f1)"
export PROXY_TOKEN PROXY_PASSWORD_DIGEST
if [ -f /run/signin/tls.pem ]; then export SIGNIN_TLS=1; fi
exec haproxy -W -db -f /etc/face-assets/signin.cfg -f /run/signin/users.cfg
