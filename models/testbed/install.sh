#!/bin/sh
# Installs Debian packages without asking and without starting or enabling any service. Run by root: install.sh PACKAGE…
set -eu

export DEBIAN_FRONTEND=noninteractive

# Maintainer scripts ask policy-rc.d whether they may start a service; 101 is no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi

# Packages enable their services for the next boot; those that are new here are disabled again.
services=
for service in mariadb redis-server; do
	[ -e "/lib/systemd/system/$service.service" ] || services="$services $service"
done

# What fails to update is a package source that we may not need; if we do, install says so.
apt-get -o DPkg::Lock::Timeout=120 update </dev/null || true

# --no-remove: rather fail than replace, for example, the machine's MySQL.
apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends --no-remove "$@" </dev/null

if command -v systemctl >/dev/null 2>&1; then
	for service in $services; do
		systemctl disable "$service" >/dev/null 2>&1 || true
	done
fi
