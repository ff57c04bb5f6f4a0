//! Programs that firmware starts, and their signatures.

use sealpack_format::pe::{Image, NewSection, add_signature, append_sections, remove_signatures};
use sealpack_trust::authenticode::ImageSignature;

/// What is signed of an image stays what it is with another signature and without any; a section that was appended is
/// read as it was given. Whatever comes as a signature, no one is its signer when nobody is trusted.
pub(crate) fn check(bytes: &[u8]) {
    if let Ok(signature) = ImageSignature::parse(bytes) {
        assert!(signature.verify(&[bytes], &[]).is_err());
        _ = signature.certificates();
    }
    let Ok(image) = Image::parse(bytes) else { return };
    let parts = image.signed_parts().concat();
    for signature in image.signatures() {
        _ = ImageSignature::parse(signature);
    }
    let more = add_signature(&image, b"signature").expect("it is far from 4 GiB");
    let more = Image::parse(&more).expect("what we sign is an image");
    assert_eq!(more.signed_parts().concat(), parts);
    assert_eq!(more.signatures().len(), image.signatures().len() + 1);
    let bare = remove_signatures(&image).expect("an image that was read");
    assert_eq!(Image::parse(&bare).expect("it is an image without them too").signed_parts().concat(), parts);
    let sections = [NewSection { name: ".appende", content: b"content", is_code: false }];
    let Ok(file) = append_sections(&image, &sections) else { return };
    let file = Image::parse(&file).expect("what we append to is an image");
    assert_eq!(file.section(".appende"), Some(&b"content"[..]));
}
