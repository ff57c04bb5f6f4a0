//! `mount.sealpack`, which mount(8) calls for the type `sealpack`, and with it fstab and systemd's mount units: it is
//! `sealpack mount` with the options that mount(8) has for it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The name that mount(8) looks for.
const NAME: &str = "mount.sealpack";

/// What mount(8) wants to be told: that it was called wrongly (mount(8), EXIT STATUS).
pub(crate) const MISUSED: u8 = 1;

/// The same: that nothing was mounted.
const FAILED: u8 = 32;

/// What is meant for others than the filesystem: for mount(8) itself, for systemd, for whoever reads fstab.
const FOR_OTHERS: [&str; 13] = [
    "rw", "defaults", "auto", "noauto", "nofail", "user", "nouser", "users", "owner", "group", "_netdev",
    "nodev", "exec",
];

/// Flags of `sealpack mount`.
const FLAGS: [(&str, &str); 3] = [("ro", "--read-only"), ("noexec", "--noexec"), ("nosuid", "--nosuid")];

/// Options of `sealpack mount` with a value; those of overlayfs by its names too.
const VALUES: [(&str, &str); 8] = [
    ("upper", "--upper"),
    ("upperdir", "--upper"),
    ("work", "--work"),
    ("workdir", "--work"),
    ("require", "--require"),
    ("at-most", "--at-most"),
    ("store", "--store"),
    ("trust", "--trust"),
];

/// Whether the program is called by that name.
pub(crate) fn is_called(argv0: &OsStr) -> bool {
    Path::new(argv0).file_name() == Some(OsStr::new(NAME))
}

/// What mount(8) is told for an exit status of the program.
pub(crate) const fn status_for_mount(status: u8) -> u8 {
    match status {
        0 => 0,
        2 => MISUSED,
        _ => FAILED,
    }
}

/// The command line of `sealpack mount` for what mount(8) says: IMAGE TARGET [-sfnv] [-o OPTION,…] [-t TYPE]. Nothing where it
/// only asks what would be.
pub(crate) fn command_line(arguments: &[OsString]) -> Result<Option<Vec<OsString>>, String> {
    let mut operands = Vec::new();
    let mut options = Options::default();
    let (mut is_fake, mut is_sloppy) = (false, false);
    let mut given: Vec<OsString> = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let letters = match argument.as_bytes() {
            [b'-', letters @ ..] if !letters.is_empty() => letters,
            _ => {
                operands.push(argument.clone());
                continue;
            }
        };
        match letters {
            b"o" => given.push(arguments.next().ok_or("-o has no options behind it")?.clone()),
            b"t" => {
                let kind = arguments.next().ok_or("-t has no type behind it")?;
                if kind != "sealpack" {
                    return Err(format!("the type is {:?}, and not sealpack", kind.to_string_lossy()));
                }
            }
            letters if letters.iter().all(|letter| b"sfnvr".contains(letter)) => {
                is_fake |= letters.contains(&b'f');
                is_sloppy |= letters.contains(&b's');
                options.is_verbose |= letters.contains(&b'v');
                options.is_read_only |= letters.contains(&b'r');
            }
            _ => return Err(format!("{:?} is no option of {NAME}", argument.to_string_lossy())),
        }
    }
    for text in given {
        split(text.as_bytes()).into_iter().try_for_each(|option| options.add(option, is_sloppy))?;
    }
    let [image, target] = <[OsString; 2]>::try_from(operands).map_err(|operands| {
        format!("an image and a directory are wanted, and there are {}", operands.len())
    })?;
    Ok((!is_fake).then(|| options.command_line(image, target)))
}

/// The options of a list. Behind a backslash a comma belongs to a value.
fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let mut options = vec![Vec::new()];
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if bytes.next_if_eq(&b',').is_some() => {
                options.last_mut().expect("there is always one").push(b',');
            }
            b',' => options.push(Vec::new()),
            byte => options.last_mut().expect("there is always one").push(byte),
        }
    }
    options.retain(|option| !option.is_empty());
    options
}

/// What was asked for.
#[derive(Debug, Default)]
struct Options {
    words: Vec<OsString>,
    has_upper: bool,
    is_read_only: bool,
    is_verbose: bool,
}

impl Options {
    fn add(&mut self, option: Vec<u8>, is_sloppy: bool) -> Result<(), String> {
        let shown = String::from_utf8_lossy(&option).into_owned();
        let (name, value) = match option.iter().position(|byte| *byte == b'=') {
            Some(at) => {
                (String::from_utf8_lossy(&option[..at]).into_owned(), Some(option[at + 1..].to_vec()))
            }
            None => (shown.clone(), None),
        };
        let name = name.as_str();
        if FOR_OTHERS.contains(&name) || name.starts_with("x-") || name.starts_with("X-") || name == "comment"
        {
            return Ok(());
        }
        let flag = FLAGS.iter().find(|(known, _)| *known == name);
        let valued = VALUES.iter().find(|(known, _)| *known == name);
        match (flag, valued, value) {
            (Some(("ro", _)), _, None) => self.is_read_only = true,
            (Some((_, word)), _, None) => self.words.push((*word).into()),
            (_, Some((_, word)), Some(value)) if !value.is_empty() => {
                self.has_upper |= *word == "--upper";
                // In one word: what begins with a dash is a value all the same.
                self.words.push(OsString::from_vec([word.as_bytes(), b"=", &value].concat()));
            }
            (Some(_), ..) => return Err(format!("the option {name} takes no value")),
            (_, Some(_), _) => return Err(format!("the option {name} needs a value: {name}=…")),
            (None, None, _) if is_sloppy => {}
            (None, None, _) => {
                let flags = FLAGS.iter().map(|(name, _)| (*name).to_owned());
                let known: Vec<String> =
                    flags.chain(VALUES.iter().map(|(name, _)| format!("{name}=…"))).collect();
                return Err(format!(
                    "{shown:?} is no option of a mount of an image; there are {}",
                    known.join(", ")
                ));
            }
        }
        Ok(())
    }

    fn command_line(self, image: OsString, target: OsString) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec!["sealpack".into(), "mount".into()];
        line.extend(self.words);
        // Without a directory for changes a mount is read-only in any case.
        line.extend((self.is_read_only && self.has_upper).then(|| "--read-only".into()));
        line.push(if self.is_verbose { "--verbose" } else { "--quiet" }.into());
        line.extend(["--".into(), image, target]);
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> Result<Option<String>, String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let line = command_line(&words)?;
        Ok(line.map(|line| line.join(OsStr::new(" ")).into_string().expect("UTF-8 went in")))
    }

    #[test]
    fn what_mount_says_becomes_a_command_of_the_program() {
        let with =
            |options: &str| line(&["app:1", "/mnt", "-o", options]).expect("it is taken").expect("a line");
        assert_eq!(
            with("rw"),
            "sealpack mount --quiet -- app:1 /mnt",
            "mount(8) says so where nobody said anything"
        );
        assert_eq!(with("ro,nofail,x-systemd.automount,_netdev"), "sealpack mount --quiet -- app:1 /mnt");
        assert_eq!(
            with("rw,noexec,require=signed,store=/s"),
            "sealpack mount --noexec --require=signed --store=/s --quiet -- app:1 /mnt"
        );
        assert_eq!(
            with(r"ro,upperdir=/a\,b,workdir=/w"),
            "sealpack mount --upper=/a,b --work=/w --read-only --quiet -- app:1 /mnt"
        );
        let verbose = line(&["-nv", "-t", "sealpack", "app:1", "/mnt"]);
        assert_eq!(verbose, Ok(Some("sealpack mount --verbose -- app:1 /mnt".to_owned())));
        assert_eq!(line(&["app:1", "/mnt", "-f"]), Ok(None), "nothing is to be done");
    }

    #[test]
    fn what_is_not_known_is_refused_unless_mount_is_told_to_be_sloppy() {
        let refused = |words: &[&str]| line(words).expect_err("it is refused");
        let unknown = refused(&["a", "/m", "-o", "ro,requre=signed"]);
        assert!(
            unknown.contains("\"requre=signed\" is no option") && unknown.contains("require=…"),
            "{unknown}"
        );
        assert!(line(&["a", "/m", "-s", "-o", "requre=signed"]).is_ok());
        assert_eq!(refused(&["a", "/m", "-o", "require"]), "the option require needs a value: require=…");
        assert_eq!(refused(&["a", "/m", "-o", "store="]), "the option store needs a value: store=…");
        assert_eq!(refused(&["a", "/m", "-o", "noexec=1"]), "the option noexec takes no value");
        assert_eq!(refused(&["a"]), "an image and a directory are wanted, and there are 1");
        assert!(refused(&["a", "/m", "-N", "1"]).contains("\"-N\" is no option of mount.sealpack"));
        assert!(refused(&["a", "/m", "-t", "ext4"]).contains("and not sealpack"));
        assert!(refused(&["a", "/m", "-o"]).contains("no options behind it"));
    }

    #[test]
    fn mount_is_told_in_its_own_numbers() {
        assert_eq!([0, 1, 2, 3].map(status_for_mount), [0, FAILED, MISUSED, FAILED]);
        assert!(is_called(OsStr::new("/sbin/mount.sealpack")) && !is_called(OsStr::new("sealpack")));
    }
}
