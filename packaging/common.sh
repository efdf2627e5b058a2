# For build-deb and build-rpm: options, the build of the programs, and what makes it reproducible.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

name=${0##*/}
output=target/packages
profile=release
binaries=
print=
systemd=252
serial=1

usage() {
    cat <<END
usage: packaging/$name [options]
  --output DIRECTORY   where the package goes ($output)
  --systemd VERSION    oldest systemd that the package is for; 254 and later get Type=notify-reload and a growing
                       RestartSec= ($systemd, which runs everywhere)
  --release NUMBER     number of the package of this version ($serial)
  --profile PROFILE    cargo's profile ($profile)
  --binaries DIRECTORY package these programs, build none
  --print-binaries     build the programs, print where they are, make no package
END
}

while (($#)); do
    case $1 in
    --output) output=$2 ;;
    --systemd) systemd=$2 ;;
    --release) serial=$2 ;;
    --profile) profile=$2 ;;
    --binaries) binaries=$2 ;;
    --print-binaries) print=yes; shift; continue ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
    esac
    shift 2 || { usage >&2; exit 64; }
done

need() {
    local tool missing=()
    for tool; do command -v "$tool" >/dev/null || missing+=("$tool"); done
    ((${#missing[@]} == 0)) || { echo "$name: not installed: ${missing[*]}" >&2; exit 69; }
}

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

# All times in the package are that of the last commit, or of the build where there is no repository.
if [[ -z ${SOURCE_DATE_EPOCH-} ]]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || SOURCE_DATE_EPOCH=$(date +%s)
fi
export SOURCE_DATE_EPOCH
export LC_ALL=C.UTF-8 TZ=UTC
umask 022

build_programs() {
    [[ -z $binaries ]] || return 0
    local target=${CARGO_TARGET_DIR:-target} home=${CARGO_HOME:-$HOME/.cargo} folder=$profile
    # Paths of this machine are nobody's business.
    local remap="--remap-path-prefix=$PWD=/usr/src/glance-api --remap-path-prefix=$home=/usr/src/cargo"
    local map="-ffile-prefix-map=$PWD=/usr/src/glance-api -ffile-prefix-map=$home=/usr/src/cargo"
    target=$(realpath -m "$target")
    map+=" -ffile-prefix-map=$target=/usr/src/target"
    remap+=" --remap-path-prefix=$target=/usr/src/target"
    RUSTFLAGS="${RUSTFLAGS-} $remap" CFLAGS="${CFLAGS-} $map" CARGO_TARGET_DIR=$target/package \
        cargo build --locked --profile "$profile" --bins || exit
    [[ $profile == dev ]] && folder=debug
    binaries=$target/package/$folder
    [[ -z $print ]] || { echo "$binaries"; exit 0; }
}

work=$(mktemp -d "${TMPDIR:-/tmp}/glance-api-package.XXXXXX") || exit
trap 'rm -rf "$work"' EXIT
