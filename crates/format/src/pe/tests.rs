use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The smallest image for EFI with one section of this content: headers of 1024 bytes, as EDK2's tools and elf2efi lay
/// them out.
fn image(content: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 1024];
    file[..2].copy_from_slice(b"MZ");
    file[0x3c] = 0x80;
    file[0x80..0x84].copy_from_slice(b"PE\0\0");
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x84, &0x8664_u16.to_le_bytes());
    put(0x86, &1_u16.to_le_bytes());
    put(0x94, &240_u16.to_le_bytes());
    let optional = 0x98;
    put(optional, &0x20b_u16.to_le_bytes());
    put(optional + 32, &4096_u32.to_le_bytes());
    put(optional + 36, &512_u32.to_le_bytes());
    put(optional + 56, &8192_u32.to_le_bytes());
    put(optional + 60, &1024_u32.to_le_bytes());
    put(optional + 64, &0xdead_u32.to_le_bytes());
    put(optional + 68, &10_u16.to_le_bytes());
    put(optional + 108, &16_u32.to_le_bytes());
    let section = optional + 240;
    let raw = content.len().next_multiple_of(512);
    put(section, b".text");
    put(section + 8, &u32::try_from(content.len()).unwrap().to_le_bytes());
    put(section + 12, &4096_u32.to_le_bytes());
    put(section + 16, &u32::try_from(raw).unwrap().to_le_bytes());
    put(section + 20, &1024_u32.to_le_bytes());
    file.extend_from_slice(content);
    file.resize(1024 + raw, 0);
    file
}

const fn section<'a>(name: &'a str, content: &'a [u8]) -> NewSection<'a> {
    NewSection { name, content, is_code: false }
}

fn error_of(bytes: &[u8]) -> String {
    Image::parse(bytes).map(drop).unwrap_err().to_string()
}

#[test]
fn sections_that_were_appended_are_read_and_the_others_are_as_they_were() {
    let stub = image(b"program");
    let stub = Image::parse(&stub).unwrap();
    let kernel = NewSection { is_code: true, ..section(".linux", &[1; 5000]) };
    let file = append_sections(&stub, &[section(".cmdline", b"quiet"), kernel]).unwrap();
    let uki = Image::parse(&file).unwrap();
    assert_eq!(uki.section(".text"), stub.section(".text"));
    assert_eq!(uki.section(".cmdline"), Some(&b"quiet"[..]));
    assert_eq!(uki.section(".linux"), Some(&[1; 5000][..]));
    assert_eq!(uki.section(".initrd"), None);
    let [_, cmdline, linux] = uki.sections() else { panic!("three sections") };
    assert_eq!((cmdline.memory.clone(), cmdline.file.clone()), (0x2000..0x2005, 1536..2048));
    assert_eq!((linux.memory.clone(), linux.file.clone()), (0x3000..0x4388, 2048..7168));
    assert_eq!((uki.optional.image_bytes.get(), uki.optional.initialized_data_bytes.get()), (0x5000, 5632));
    assert_eq!(uki.optional.checksum.get(), 0);
    assert_eq!(uki.machine(), Machine::X86_64);
    assert!(uki.is_efi_application());
}

#[test]
fn a_signature_changes_nothing_that_is_signed() {
    let file = image(b"program");
    let plain = Image::parse(&file).unwrap();
    let signed = add_signature(&plain, b"first").unwrap();
    let once = Image::parse(&signed).unwrap();
    let twice = add_signature(&once, b"the second").unwrap();
    let twice = Image::parse(&twice).unwrap();
    assert_eq!(once.signatures(), [b"first"]);
    assert_eq!(twice.signatures(), [&b"first"[..], b"the second"]);
    assert_eq!(once.signed_parts().concat(), plain.signed_parts().concat());
    assert_eq!(twice.signed_parts().concat(), plain.signed_parts().concat());
    assert_eq!(certificate_content(&signed[1536..]), Some(&b"first"[..]));
    assert_eq!(certificate_content(&twice.bytes()[1536..]), None);
    assert_eq!(certificate_content(b"0\x82"), None);
    let bare = remove_signatures(&twice).unwrap();
    assert_eq!(remove_signatures(&once).unwrap(), bare);
    assert_eq!(Image::parse(&bare).unwrap().signed_parts().concat(), plain.signed_parts().concat());
    assert_eq!(remove_signatures(&plain).unwrap(), file);
}

#[test]
fn every_byte_is_signed_but_checksum_and_certificate_table() {
    let file = add_signature(&Image::parse(&image(b"program")).unwrap(), b"signature").unwrap();
    let signed = Image::parse(&file).unwrap().signed_parts().concat();
    let mut unsigned = Vec::new();
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 0x40;
        match Image::parse(&changed) {
            Ok(other) if other.signed_parts().concat() == signed => unsigned.push(at),
            _ => {}
        }
    }
    // The checksum; the signature behind its header.
    let expected: Vec<usize> = (0x98 + 64..0x98 + 68).chain(1536 + 8..file.len()).collect();
    assert_eq!(unsigned, expected);
}

#[test]
fn what_aligns_the_end_is_signed_before_it_is_there() {
    let mut file = image(b"program");
    file.extend_from_slice(b"more");
    let before = Image::parse(&file).unwrap().signed_parts().concat();
    let signed = add_signature(&Image::parse(&file).unwrap(), b"signature").unwrap();
    assert_eq!(Image::parse(&signed).unwrap().signed_parts().concat(), before);
    assert!(before.ends_with(b"more\0\0\0\0"));
}

#[test]
fn a_stub_that_cannot_take_the_sections_says_why() {
    let file = image(b"program");
    let stub = Image::parse(&file).unwrap();
    let many: Vec<String> = (0..15).map(|number| format!(".s{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| section(name, b"")).collect();
    assert_eq!(append_sections(&stub, &many), Err(PeError::NoRoom { wanted: 15, room: 14 }));
    append_sections(&stub, &many[1..]).expect("there is room for 14");
    assert_eq!(append_sections(&stub, &[section(".text", b"")]), Err(PeError::Again(".text".into())));
    assert_eq!(append_sections(&stub, &[many[0], many[0]]), Err(PeError::Again(".s0".into())));
    assert!(matches!(append_sections(&stub, &[section(".toolongg", b"")]), Err(PeError::Name(_))));
}

#[test]
fn what_is_no_image_or_a_damaged_one_is_refused_with_its_place() {
    assert_eq!(error_of(b""), "this is not a PE image: it does not begin with MZ");
    assert_eq!(error_of(b"MZ"), "this is not a PE image: it ends in the DOS header");
    assert_eq!(error_of(&[&b"MZ"[..], &[0; 100]].concat()), "this is not a PE image: it has no PE header");
    let good = image(b"program");
    let with = |at: usize, byte: u8| {
        let mut file = good.clone();
        file[at] = byte;
        error_of(&file)
    };
    assert_eq!(with(0x99, 1), "the PE image is one of 32 bits; one of 64 bits (PE32+) for EFI is needed");
    assert_eq!(
        with(0x86, 60),
        "the PE image is damaged: the headers are longer than they say, or than the file"
    );
    assert_eq!(
        with(0x98 + 240 + 17, 0xff),
        "the PE image is cut off in the section .text: the file has 1536 bytes"
    );
    assert_eq!(with(0x98 + 240 + 21, 0), "the PE image is damaged: the section .text begins within another");
    assert_eq!(
        with(0x98 + 112 + 32, 8),
        "the PE image is damaged: the certificate table is not the last thing in the file"
    );
    assert_eq!(error_of(&good[..0x90]), "the PE image is cut off in the file header: the file has 144 bytes");
    let mut signed = add_signature(&Image::parse(&good).unwrap(), b"signature").unwrap();
    signed[1536] = 200;
    assert_eq!(
        error_of(&signed),
        "the PE image is damaged: an entry of the certificate table is longer than the table"
    );
}

proptest! {
    #[test]
    fn whatever_is_appended_comes_back(contents in vec(vec(any::<u8>(), 0..2000), 0..10), own in vec(any::<u8>(), 1..2000)) {
        let file = image(&own);
        let stub = Image::parse(&file).unwrap();
        let names: Vec<String> = (0..contents.len()).map(|number| format!(".new{number}")).collect();
        let sections: Vec<_> =
            names.iter().zip(&contents).map(|(name, content)| section(name, content)).collect();
        let file = append_sections(&stub, &sections).unwrap();
        prop_assert_eq!(file.len() % 512, 0);
        let uki = Image::parse(&file).unwrap();
        for (name, content) in names.iter().zip(&contents) {
            prop_assert_eq!(uki.section(name), Some(&content[..]));
        }
        prop_assert_eq!(uki.section(".text"), Some(&own[..]));
        let bytes: usize = uki.signed_parts().iter().map(|part| part.len()).sum();
        prop_assert_eq!(bytes, file.len() - 4 - 8);
    }

    #[test]
    fn a_changed_image_is_read_or_refused(changes in vec((0_usize..1700, any::<u8>()), 1..6), cut in 0_usize..1700) {
        let mut file = add_signature(&Image::parse(&image(b"program")).unwrap(), &[7; 100]).unwrap();
        for (at, byte) in changes {
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
        }
        file.truncate(cut.max(1024));
        if let Ok(read) = Image::parse(&file) {
            _ = append_sections(&read, &[section(".new", b"new")]);
            let parts = read.signed_parts().concat();
            let again = add_signature(&read, b"more").unwrap();
            prop_assert_eq!(Image::parse(&again).unwrap().signed_parts().concat(), parts);
        }
    }
}
