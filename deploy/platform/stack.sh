# What compose and down call a stack; both read it.
stack="${FACE_ASSETS_STACK:-face-assets}"
# The image holds this folder for anybody to write in, and so a new volume is: one that is mounted elsewhere would be root's. The home's
# path names its servers, gateway and network, so each stack has another.
home=/var/lib/face-assets
if [ "$stack" != face-assets ]; then home="$home/$stack"; fi
home_name="$(printf '["%s"]' "$home" | sha256sum | cut -c1-8)"  # as face_assets/core/fingerprint.py does it
