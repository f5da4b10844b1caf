#!/usr/bin/env bash
# Put Debian's etcd and etcdctl below .etcd/, without installing them: the package would start a
# server. Run from the repository's root, on Debian 12 (amd64). Exits with 3 where they are not to
# be had.
set -euo pipefail

version=3.4.23-4+b4
declare -A sums=(
  [etcd-server]=3a9445d4560ad6de1c375756b2a17d97713df44cbd20a658c871fe108af7ef5d
  [etcd-client]=db3a484d5d924b50bf71f459ee544ecd7b11c25dc2f6becc0c50352d67299cc8
)
folder=.etcd
if [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ]; then
  exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(dpkg --print-architecture)" != amd64 ]; then
  echo "get-etcd: this is no Debian on amd64" >&2
  exit 3
fi
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
for package in "${!sums[@]}"; do
  if ! apt-get download "$package=$version" >apt.log 2>&1; then
    cat apt.log >&2
    echo "get-etcd: $package=$version is not to be had; try apt-get update" >&2
    exit 3
  fi
  echo "${sums[$package]}  $(echo "$package"_*.deb)" | sha256sum --check --quiet
  dpkg -x "$package"_*.deb .
done
rm -f ./*.deb apt.log
echo "$version" >version
