//! What a boot loader shows of a UKI, and orders it by: an os-release(5) file.

/// The name by which systemd-boot sorts what belongs together.
const ID: &str = "IMAGE_ID";
/// The version by which it finds the newest.
const VERSION: &str = "IMAGE_VERSION";

/// What of an os-release(5) file boot loaders look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Release {
    /// `IMAGE_ID`: what belongs together.
    pub image_id: Option<String>,
    /// `IMAGE_VERSION`.
    pub image_version: Option<String>,
    /// `ID`, `VERSION`, `VERSION_ID` and `BUILD_ID`, which stand in for those that are not there.
    id: Option<String>,
    versions: [Option<String>; 3],
    /// Whether there is `PRETTY_NAME` or `NAME`.
    is_named: bool,
}

impl Release {
    /// Reads the file as systemd-boot does (`line_get_key_value`, src/fundamental): lines `KEY=VALUE`, comments and
    /// whatever else passed over, one pair of quotation marks around a value taken off, the last of a name counts.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut release = Self::default();
        let text = String::from_utf8_lossy(text);
        for line in text.split(['\n', '\r', '\0']).map(str::trim).filter(|line| !line.starts_with('#')) {
            let Some((key, value)) = line.split_once('=') else { continue };
            let unquoted = |mark| value.strip_prefix(mark).and_then(|value| value.strip_suffix(mark));
            let value = unquoted('"').or_else(|| unquoted('\'')).unwrap_or(value).to_owned();
            match key.trim() {
                ID => release.image_id = Some(value),
                VERSION => release.image_version = Some(value),
                "ID" => release.id = Some(value),
                "VERSION" => release.versions[0] = Some(value),
                "VERSION_ID" => release.versions[1] = Some(value),
                "BUILD_ID" => release.versions[2] = Some(value),
                "NAME" | "PRETTY_NAME" => release.is_named = true,
                _ => {}
            }
        }
        release
    }

    /// Whether systemd-boot has something to call it by; it passes over what has nothing.
    #[must_use]
    pub const fn has_name(&self) -> bool {
        self.is_named || self.image_id.is_some() || self.id.is_some()
    }

    /// What systemd-boot sorts by first (`bootspec_pick_name_version_sort_key`, src/fundamental/bootspec.c).
    #[must_use]
    pub fn sort_key(&self) -> Option<&str> {
        self.image_id.as_deref().or(self.id.as_deref())
    }

    /// What it sorts by then.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.image_version.as_deref().or_else(|| self.versions.iter().flatten().next().map(String::as_str))
    }
}

/// The image's own `os-release` with `epoch` as the version of the image, and `image_id` unless it has one.
pub(super) fn os_release(own: &[u8], image_id: &str, epoch: u64) -> Vec<u8> {
    let mut text = Vec::new();
    let mut has_id = false;
    for line in own.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let is = |name: &str| line.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
        if is(VERSION) {
            continue;
        }
        has_id |= is(ID);
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    if !has_id {
        text.extend_from_slice(format!("{ID}={}\n", identifier(image_id)).as_bytes());
    }
    text.extend_from_slice(format!("{VERSION}={epoch}\n").as_bytes());
    text
}

/// `text` with what os-release(5) allows in an identifier.
fn identifier(text: &str) -> String {
    let allowed = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '.' | '_' | '-');
    text.chars().map(|character| if allowed(character) { character } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seals_epoch_is_the_version_of_the_image() {
        let own = b"NAME=\"Debian GNU/Linux\"\nIMAGE_VERSION=old\nVERSION_ID=13";
        let text = String::from_utf8(os_release(own, "host", 7)).unwrap();
        assert_eq!(text, "NAME=\"Debian GNU/Linux\"\nVERSION_ID=13\nIMAGE_ID=host\nIMAGE_VERSION=7\n");
    }

    #[test]
    fn what_is_written_is_read_and_the_rest_stands_in() {
        let release = Release::parse(&os_release(b"ID=debian\nVERSION_ID=\"13\"\n", "host", 7));
        assert_eq!((release.sort_key(), release.version()), (Some("host"), Some("7")));
        let release =
            Release::parse(b"# IMAGE_ID=no\nID='debian'\nVERSION_ID=\"13\"\nnonsense\nBUILD_ID=1\n");
        assert_eq!((release.sort_key(), release.version()), (Some("debian"), Some("13")));
        assert_eq!(release.image_version, None);
        assert_eq!(Release::parse(&[0xff, b'=', 0]).sort_key(), None);
    }

    #[test]
    fn an_image_that_has_a_name_for_itself_keeps_it() {
        let text = String::from_utf8(os_release(b"IMAGE_ID=mine\n", "host", 7)).unwrap();
        assert_eq!(text, "IMAGE_ID=mine\nIMAGE_VERSION=7\n");
        let text = String::from_utf8(os_release(b"", "a b\"$", 1)).unwrap();
        assert_eq!(text, "IMAGE_ID=a-b--\nIMAGE_VERSION=1\n");
    }
}
