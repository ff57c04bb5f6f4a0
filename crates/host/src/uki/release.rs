//! What a boot loader shows of a UKI, and orders it by: an os-release(5) file.

/// The name by which systemd-boot sorts what belongs together.
const ID: &str = "IMAGE_ID";
/// The version by which it finds the newest.
const VERSION: &str = "IMAGE_VERSION";

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
    fn an_image_that_has_a_name_for_itself_keeps_it() {
        let text = String::from_utf8(os_release(b"IMAGE_ID=mine\n", "host", 7)).unwrap();
        assert_eq!(text, "IMAGE_ID=mine\nIMAGE_VERSION=7\n");
        let text = String::from_utf8(os_release(b"", "a b\"$", 1)).unwrap();
        assert_eq!(text, "IMAGE_ID=a-b--\nIMAGE_VERSION=1\n");
    }
}
