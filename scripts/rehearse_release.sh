#!/usr/bin/env bash
# Rehearse a release by bloom as far as it goes without a network: each key of package.xml is resolved, and the packaging of
# Debian written, for each distribution of ROS 2.
#
#   git clone --depth 1 https://github.com/ros/rosdistro && scripts/rehearse_release.sh rosdistro [jazzy ...]
#
# bloom comes from PyPI. The last commit is what is packaged; build/release/<distribution>/debian is the result.
set -euo pipefail
index=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
declare -A ubuntu=([humble]=jammy [jazzy]=noble [kilted]=noble [lyrical]=resolute)
work=$PWD/build/release
mkdir -p "$work/sources"
[ -x "$work/venv/bin/bloom-generate" ] || { python3 -m venv "$work/venv" && "$work/venv/bin/pip" install --quiet bloom; }

export ROSDISTRO_INDEX_URL=file://$index/index-v4.yaml ROSDEP_SOURCE_PATH=$work/sources ROS_HOME=$work/home
for keys in base python; do
    echo "yaml file://$index/rosdep/$keys.yaml"
done > "$work/sources/20-default.list"
[ $# -gt 0 ] || set -- humble jazzy kilted lyrical
for name in "$@"; do
    log=$work/$name.log
    "$work/venv/bin/rosdep" update --rosdistro "$name" --include-eol-distros > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
    rm -rf "${work:?}/$name"
    git clone --quiet . "$work/$name"
    (
        cd "$work/$name"
        "$work/venv/bin/bloom-generate" rosdebian --ros-distro "$name" --os-name ubuntu --os-version "${ubuntu[$name]}" \
            < /dev/null > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
    )
    echo "$name: every key is resolved: $work/$name/debian/control"
done
