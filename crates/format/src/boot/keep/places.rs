//! Places in `/etc` that are never kept: programs are run from them, or they say which.

/// What these name, and all that is in it, is never kept. Without `/etc/`, sorted.
const PLACES: &[&str] = &[
    // Interpreted or sourced at boot, at login or at a time.
    "X11",
    "alternatives",
    "anacrontab",
    "apt",
    "bash.bashrc",
    "bash_completion.d",
    "bashrc",
    // The kernel starts interpreters by these.
    "binfmt.d",
    "containers",
    // Credentials can be files for systemd-sysusers, -tmpfiles and -sysctl (systemd.system-credentials(7)).
    "credstore",
    "credstore.encrypted",
    "cron.d",
    "cron.daily",
    "cron.hourly",
    "cron.monthly",
    "cron.weekly",
    "cron.yearly",
    "crontab",
    "crypttab",
    "csh.cshrc",
    "csh.login",
    "dbus-1",
    "default",
    "dhcp",
    "dhcpcd.conf",
    "dhcpcd.enter-hook",
    "dhcpcd.exit-hook",
    "dpkg",
    "environment",
    "environment.d",
    // Images that are laid over /usr and /etc.
    "confexts",
    "extensions",
    // It could put anything in the place of anything, units among them.
    "fstab",
    "inetd.conf",
    "init",
    "init.d",
    "inittab",
    "initramfs-tools",
    "insserv.conf.d",
    "integritytab",
    "ipe",
    "kernel",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "ld.so.preload",
    "logrotate.conf",
    "logrotate.d",
    // `install` lines are commands.
    "modprobe.d",
    "modules",
    "modules-load.d",
    // Interfaces have `up` and `down` lines, and directories of scripts.
    "network",
    "NetworkManager/dispatcher.d",
    "networkd-dispatcher",
    "openvpn",
    "pam.conf",
    "pam.d",
    "polkit-1",
    "portables",
    "ppp",
    "profile",
    "profile.d",
    "rc.d",
    "rc.local",
    "rc.shutdown",
    "rc0.d",
    "rc1.d",
    "rc2.d",
    "rc3.d",
    "rc4.d",
    "rc5.d",
    "rc6.d",
    "rcS.d",
    "resolvconf",
    "resolvconf.conf",
    "runit",
    "security",
    "skel",
    // Commands for each login, and for host-based decisions.
    "ssh/ssh_config",
    "ssh/ssh_config.d",
    "ssh/sshd_config",
    "ssh/sshd_config.d",
    "ssh/sshrc",
    "sudo.conf",
    "sv",
    // kernel.core_pattern and others are programs.
    "sysctl.conf",
    "sysctl.d",
    "sysupdate.d",
    "sysusers.d",
    "tmpfiles.d",
    // RUN and PROGRAM.
    "udev",
    "veritytab",
    "wpa_supplicant/action_wpa.sh",
    "wpa_supplicant/functions.sh",
    "wpa_supplicant/ifupdown.sh",
    "xdg",
    "xinetd.conf",
    "xinetd.d",
    "zsh",
];

/// In `/etc/systemd` it is the other way round: only these are kept, and what is below them.
const OF_SYSTEMD: &[&str] = &["journald.conf", "network", "networkd.conf", "resolved.conf", "timesyncd.conf"];

/// Whether programs are run from a place below `/etc`, or it says which.
pub(super) fn runs(path: &str) -> bool {
    // Whatever is called so is run at boot, and at each reload.
    if path.split('/').any(|name| name.ends_with("-generators")) {
        return true;
    }
    if let Some(below) = path.strip_prefix("systemd/") {
        return !OF_SYSTEMD.iter().any(|kept| is_at_or_below(below, kept));
    }
    PLACES.iter().any(|place| is_at_or_below(path, place))
}

/// A place from which programs are run that is in the directory `path`.
pub(super) fn inside(path: &str) -> Option<&'static str> {
    if path == "systemd" {
        return Some("systemd/system");
    }
    PLACES.iter().copied().find(|place| is_at_or_below(place, path))
}

/// Whether `path` is `top` or in it.
fn is_at_or_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
