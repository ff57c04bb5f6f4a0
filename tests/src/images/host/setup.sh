# What a Debian system needs to be the image of a sealed host; docs/sealed-hosts.md says why. Run by sh in its root.

# Keys that all hosts of an image share are nobody's: each makes its own when it first starts.
rm -f /etc/ssh/ssh_host_*

# An empty file would not do: then systemd takes no boot for the first one, and sshd gets no keys.
echo uninitialized > /etc/machine-id
rm -f /var/lib/dbus/machine-id

mkdir -p /efi /data

cat > /etc/fstab <<'END'
LABEL=ESP   /efi   vfat   umask=0077,nofail   0   0
/data/var   /var   none   bind                0   0
/data/home  /home  none   bind                0   0
END

# The ESP cannot be found behind an overlay, so blessing what has booted has to wait for the mount.
mkdir -p /etc/systemd/system/systemd-bless-boot.service.d
cat > /etc/systemd/system/systemd-bless-boot.service.d/efi.conf <<'END'
[Unit]
RequiresMountsFor=/efi
END

# It would replace the signed boot loader by the unsigned one of the image.
ln -sf /dev/null /etc/systemd/system/systemd-boot-update.service

# They would put what is in /var, which nobody signed, over /usr and /etc at each boot.
ln -sf /dev/null /etc/systemd/system/systemd-sysext.service
ln -sf /dev/null /etc/systemd/system/systemd-confext.service

# Without a reader, the kernel loses records of what it denied.
systemctl enable systemd-journald-audit.socket

echo sealed > /etc/hostname

# What tells when and where the system was built.
rm -f /var/log/*.log /var/log/apt/* /var/cache/ldconfig/aux-cache
