use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sealpack_format::boot::{BootParameters, CommandLine};
use sealpack_format::{ObjectId, RootHash};
use sealpack_tests::host_image::program;

use super::*;

/// What a FAT says of itself that has room.
pub(crate) const FAT: Filesystem = Filesystem {
    is_mounted: true,
    is_fat: true,
    is_read_only: false,
    free_bytes: 100_000_000,
    cluster_bytes: 4096,
};

/// What starts the image of that number.
pub(crate) fn boot(image: u8) -> BootParameters {
    BootParameters::new(ObjectId::sha256([image; 32]), RootHash::new([image; 32]))
}

/// A UKI of the image of that number, which is also its epoch, unsigned.
fn uki_of(id: &str, image: u8) -> Result<Vec<u8>> {
    let line = CommandLine::new(boot(image), [])?.to_string();
    let release = format!("IMAGE_ID={id}\nIMAGE_VERSION={image}\n");
    Ok(program(&[
        (".osrel", release.as_bytes()),
        (".cmdline", line.as_bytes()),
        (".uname", b"6.12.1"),
        (".initrd", b"initramfs"),
        (".linux", &[7; 3000]),
    ]))
}

/// A partition with UKIs of `host` of these names, each of the image that is the number in it.
fn partition(names: &[&str]) -> Result<(tempfile::TempDir, Esp)> {
    let place = tempfile::tempdir()?;
    let esp = Esp::open(place.path(), FAT)?;
    for name in names {
        let digits: String = name.chars().filter(char::is_ascii_digit).take(1).collect();
        fs::write(esp.path_of(name), uki_of("host", digits.parse()?)?)?;
    }
    Ok((place, esp))
}

fn facts(running: u8) -> Facts {
    Facts { booted: Some(boot(running)), ..Facts::default() }
}

fn names(boots: &Boots) -> Vec<&str> {
    boots.entries.iter().map(|entry| entry.file_name.as_str()).collect()
}

fn name(entry: Option<&Entry>) -> Option<&str> {
    entry.map(|entry| entry.file_name.as_str())
}

#[test]
fn the_newest_comes_next_and_the_one_before_is_fallen_back_to() -> Result<()> {
    let (_place, esp) = partition(&["sealed_1.efi", "sealed_2.efi", "sealed_3+3.efi"])?;
    let boots = Boots::of(esp.entries()?, &facts(2));
    assert_eq!(names(&boots), ["sealed_3+3.efi", "sealed_2.efi", "sealed_1.efi"]);
    assert_eq!(name(boots.next()), Some("sealed_3+3.efi"));
    assert_eq!(name(boots.running()), Some("sealed_2.efi"));
    assert_eq!(name(boots.fallback()), Some("sealed_2.efi"));
    assert!(boots.falls_back());
    assert_eq!(boots.superfluous(), [2]);
    let uki = boots.next().context("next")?.uki.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    assert_eq!((uki.epoch(), uki.command_line.boot()), (Some(3), &boot(3)));
    assert_eq!(uki.kernel.as_deref(), Some("6.12.1"));
    Ok(())
}

#[test]
fn one_whose_tries_are_spent_comes_last_and_is_not_fallen_back_to() -> Result<()> {
    let (_place, esp) = partition(&["sealed_1.efi", "sealed_2.efi", "sealed_3+0-3.efi"])?;
    let boots = Boots::of(esp.entries()?, &facts(2));
    assert_eq!(names(&boots), ["sealed_2.efi", "sealed_1.efi", "sealed_3+0-3.efi"]);
    assert_eq!((name(boots.next()), name(boots.fallback())), (Some("sealed_2.efi"), Some("sealed_1.efi")));
    assert!(!boots.falls_back(), "nothing counts the tries of what was blessed");
    Ok(())
}

#[test]
fn what_belongs_together_is_in_the_order_of_its_name_before_its_version() -> Result<()> {
    let (_place, esp) = partition(&["sealed_1.efi"])?;
    fs::write(esp.path_of("other_9+3.efi"), uki_of("zz", 9)?)?;
    fs::write(esp.path_of("first_4.efi"), uki_of("a", 4)?)?;
    // A program that says nothing of an image is listed too, and what does not say what it is, is not.
    fs::write(esp.path_of("shell.efi"), program(&[(".osrel", b"ID=shell\n"), (".text", b"x")]))?;
    fs::write(esp.path_of("half.efi"), &uki_of("a", 5)?[..300])?;
    fs::write(esp.path_of("silent.efi"), program(&[(".text", b"x")]))?;
    let boots = Boots::of(esp.entries()?, &facts(1));
    let listed = ["first_4.efi", "sealed_1.efi", "shell.efi", "other_9+3.efi"];
    assert_eq!(names(&boots)[..4], listed);
    assert_eq!((name(boots.next()), name(boots.fallback())), (Some("first_4.efi"), Some("sealed_1.efi")));
    Ok(())
}

#[test]
fn a_variable_has_its_say_before_the_order_and_one_for_one_start_before_that() -> Result<()> {
    let (_place, esp) = partition(&["sealed_1.efi", "sealed_2.efi", "sealed_3+3.efi"])?;
    let mut facts = facts(2);
    let next = |facts: &Facts| {
        let boots = Boots::of(esp.entries()?, facts);
        Ok::<_, EspError>((
            name(boots.next()).map(str::to_owned),
            boots.next_by,
            name(boots.fallback()).map(str::to_owned),
        ))
    };
    let some = |text: &str| Some(text.to_owned());
    facts.configured = some("sealed_1*");
    assert_eq!(next(&facts)?, (some("sealed_1.efi"), NextBy::Configuration, some("sealed_3+3.efi")));
    facts.variables.default = some("SEALED_2[.+][e1-9]*");
    assert_eq!(next(&facts)?, (some("sealed_2.efi"), NextBy::Variable, some("sealed_1.efi")));
    facts.variables.one_shot = some("sealed_3+3.efi");
    assert_eq!(next(&facts)?, (some("sealed_3+3.efi"), NextBy::OneShot, some("sealed_2.efi")));
    facts.variables.one_shot = some("gone");
    facts.variables.default = some("@saved");
    facts.variables.last_booted = some("sealed_2.efi");
    assert_eq!(next(&facts)?.1, NextBy::Variable);
    Ok(())
}

#[test]
fn of_two_with_one_image_the_one_runs_that_was_selected_whatever_it_counts_since() -> Result<()> {
    let (_place, esp) = partition(&["again_2.efi", "sealed_2+2-1.efi"])?;
    let mut facts = facts(2);
    facts.variables.selected = Some("sealed_2+3.efi".to_owned());
    assert_eq!(name(Boots::of(esp.entries()?, &facts).running()), Some("sealed_2+2-1.efi"));
    // What is there by that name is another image: then what runs is what has the image.
    fs::remove_file(esp.path_of("sealed_2+2-1.efi"))?;
    fs::write(esp.path_of("sealed_2.efi"), uki_of("host", 5)?)?;
    assert_eq!(name(Boots::of(esp.entries()?, &facts).running()), Some("again_2.efi"));
    fs::remove_file(esp.path_of("again_2.efi"))?;
    assert_eq!(Boots::of(esp.entries()?, &facts).running(), None);
    Ok(())
}

#[test]
fn a_uki_is_written_whole_with_three_tries() -> Result<()> {
    let (_place, esp) = partition(&["sealed_1.efi"])?;
    let bytes = uki_of("host", 2)?;
    assert_eq!(esp.write("sealed_2", &bytes)?, "sealed_2+3.efi");
    assert_eq!(esp.read("sealed_2+3.efi")?, Some(bytes.clone()));
    let boots = Boots::of(esp.entries()?, &facts(1));
    assert_eq!(name(boots.next()), Some("sealed_2+3.efi"));
    let error = esp.write("sealed_2", &bytes).expect_err("it is there");
    assert!(
        matches!(&error, EspError::Exists { path } if path.ends_with("EFI/Linux/sealed_2+3.efi")),
        "{error}"
    );
    assert_eq!(esp.read("sealed_2+3.efi")?, Some(bytes));
    Ok(())
}

#[test]
fn what_a_power_cut_left_half_written_is_passed_over_and_removed_like_any_other() -> Result<()> {
    let (_place, esp) = partition(&["sealed_1.efi"])?;
    let mut bytes = uki_of("host", 2)?;
    bytes[..512].fill(0);
    fs::write(esp.path_of("sealed_2+3.efi"), &bytes)?;
    let boots = Boots::of(esp.entries()?, &facts(1));
    assert_eq!((name(boots.next()), boots.fallback), (Some("sealed_1.efi"), None));
    assert_eq!(boots.superfluous(), [1]);
    esp.remove(&boots.entries[1])?;
    assert_eq!(esp.entries()?.len(), 1);
    Ok(())
}

#[test]
fn a_counter_is_changed_and_nothing_is_written_over() -> Result<()> {
    let (_place, esp) = partition(&["sealed_1.efi", "sealed_2+0-3.efi"])?;
    let spent =
        || -> Result<Entry> { esp.entries()?.into_iter().find(Entry::is_spent).context("one is spent") };
    let entry = spent()?;
    assert_eq!(esp.count(&entry, Some(Counter::NEW))?, "sealed_2+3.efi");
    assert!(matches!(esp.count(&entry, Some(Counter::NEW)), Err(EspError::Exists { .. })));
    assert!(matches!(esp.count(&entry, None), Err(EspError::Gone { .. })));
    fs::write(esp.path_of("sealed_2+0-3.efi"), "another")?;
    assert!(matches!(esp.count(&spent()?, Some(Counter::NEW)), Err(EspError::Exists { .. })));
    Ok(())
}

fn refused(filesystem: Filesystem) -> Result<String> {
    let place = tempfile::tempdir()?;
    let opened = Esp::open(place.path(), filesystem).and_then(|esp| {
        esp.check_room(10_000_000, &[])?;
        esp.write("sealed_1", b"x").map(drop)
    });
    ensure!(fs::read_dir(place.path())?.all(|entry| entry.is_ok_and(|entry| entry.path().is_dir())));
    Ok(opened.err().context("it is refused")?.to_string())
}

#[test]
fn what_is_no_esp_or_cannot_be_written_or_is_full_is_named_before_anything_is_written() -> Result<()> {
    assert!(
        refused(Filesystem { is_mounted: false, ..FAT })?
            .starts_with("no EFI system partition is mounted at /")
    );
    assert!(refused(Filesystem { is_fat: false, ..FAT })?.contains("is no FAT"));
    let full = refused(Filesystem { free_bytes: 9_999_999, ..FAT })?;
    assert!(full.contains("has 9999999 bytes left, and 10006528 are needed"), "{full}");
    let place = tempfile::tempdir()?;
    fs::create_dir_all(place.path().join("EFI/Linux"))?;
    let read_only = Esp::open(place.path(), Filesystem { is_read_only: true, ..FAT })?;
    let said = read_only.check_room(1, &[]).expect_err("it cannot be written").to_string();
    assert!(said.ends_with("is mounted read-only"), "{said}");
    assert!(matches!(read_only.write("sealed_1", b"x"), Err(EspError::ReadOnly { .. })));
    Ok(())
}

#[test]
fn what_can_be_removed_before_counts_as_room() -> Result<()> {
    let (_place, esp) = partition(&["sealed_1.efi", "sealed_2.efi"])?;
    let entries = esp.entries()?;
    // With a cluster for the directory, 3,840 bytes more than are left.
    let needed = FAT.free_bytes / 4096 * 4096;
    esp.check_room(needed, &[&entries[0]])?;
    assert!(matches!(esp.check_room(needed, &[]), Err(EspError::Full { .. })));
    Ok(())
}

#[test]
fn a_directory_of_another_filesystem_is_told_from_an_esp() -> Result<()> {
    let looked = Filesystem::look(Path::new("/proc"))?;
    assert!(looked.is_mounted && !looked.is_fat, "{looked:?}");
    let place = tempfile::tempdir()?;
    assert!(!Filesystem::look(place.path())?.is_mounted);
    let missing = Filesystem::look(&place.path().join("efi")).expect_err("there is none");
    assert!(matches!(missing, EspError::NotMounted { .. }), "{missing}");
    Ok(())
}

#[test]
fn what_cannot_be_told_of_all_files_is_no_list() -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let (place, esp) = partition(&["sealed_1.efi"])?;
    // As a FAT shows a name that has no place in the characters that it is mounted with.
    let strange = std::ffi::OsStr::from_bytes(b"s\xe9aled_2.efi");
    let strange = place.path().join("EFI/Linux").join(strange);
    fs::write(&strange, uki_of("host", 2)?)?;
    ensure!(matches!(esp.entries(), Err(EspError::NoText { path }) if path == strange));
    fs::remove_file(strange)?;
    // Names that come before the one that is needed.
    for number in 0..256 {
        fs::write(esp.path_of(&format!("a{number}.efi")), b"")?;
    }
    let error = esp.entries().err().context("a part of them is told")?;
    ensure!(matches!(error, EspError::TooMany { limit: 256, .. }), "{error}");
    Ok(())
}

/// Whoever has the disk may make it as large as a FAT can have it, which was read whole.
#[test]
fn a_configuration_of_the_boot_loader_that_is_none_is_not_read_whole() -> Result<()> {
    let (place, esp) = partition(&[])?;
    assert_eq!(esp.configured_default()?, None);
    let file = place.path().join("loader/loader.conf");
    std::fs::create_dir_all(file.parent().expect("it has one"))?;
    std::fs::write(&file, "timeout 3\ndefault sealed_*\n")?;
    assert_eq!(esp.configured_default()?.as_deref(), Some("sealed_*"));
    std::fs::File::options().write(true).open(&file)?.set_len(1024 * 1024 + 1)?;
    let why = esp.configured_default().expect_err("it is too large").to_string();
    assert!(why.contains("loader.conf") && why.contains("more than 1048576 bytes"), "{why}");
    Ok(())
}
