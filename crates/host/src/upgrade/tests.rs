use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use sealpack_format::boot::{BootParameters, CommandLine, DataLabel, Etc, Hardening};
use sealpack_format::pe::Image;
use sealpack_format::{RootHash, pe};
use sealpack_tests::host_image::program;
use sealpack_trust::timestamp::Timestamp;

use super::*;
use crate::esp::tests::{FAT, boot};
use crate::esp::{Boots, Esp, Facts, Filesystem, LoaderVariables};

/// A UKI with that command line, of that version, with a signature of a form that is not read here.
fn uki(line: &CommandLine, version: &str) -> Result<Vec<u8>> {
    let line = line.to_string();
    let release = format!("IMAGE_ID=host\n{version}\n");
    let unsigned = program(&[
        (".osrel", release.as_bytes()),
        (".cmdline", line.as_bytes()),
        (".initrd", b"initramfs"),
        (".linux", b"kernel"),
    ]);
    Ok(pe::add_signature(&Image::parse(&unsigned)?, b"\x30\x02\x05\x00")?)
}

fn usual(image: u8) -> Result<Vec<u8>> {
    uki(&CommandLine::new(boot(image), ["quiet"])?, &format!("IMAGE_VERSION={image}"))
}

fn candidate(bytes: Vec<u8>) -> Candidate {
    Candidate { label: "sha256:ab".to_owned(), bytes }
}

fn target(image: u8) -> Target {
    let BootParameters { image: id, root_hash, .. } = boot(image);
    Target { name: "host:latest".to_owned(), image: id, root_hash, epoch: image.into() }
}

fn host(image: u8) -> Result<Host> {
    let command_line = Some(CommandLine::new(boot(image), ["quiet"])?);
    Ok(Host { command_line, epoch: Some(image.into()), ..Host::default() })
}

/// Why the UKI is not taken for the image of number 2 by a host that runs number 1.
fn why_not(bytes: Vec<u8>) -> Result<String> {
    let chosen = choose(vec![candidate(bytes)], &target(2), &host(1)?, &Allowed::default());
    let error = chosen.err().context("it is taken")?;
    ensure!(error.is_verification(), "{error}");
    let text = error.to_string();
    let (_, why) = text.split_once("sha256:ab: ").with_context(|| text.clone())?;
    Ok(why.to_owned())
}

#[test]
fn what_is_no_newer_uki_of_the_image_is_refused_with_the_reason() -> Result<()> {
    let line = |boot| Ok::<_, anyhow::Error>(CommandLine::new(boot, ["quiet"])?);
    assert!(why_not(usual(3)?)?.starts_with("it starts the metadata image 0303"));
    let mut other_root = boot(2);
    other_root.root_hash = RootHash::new([9; 32]);
    let why = why_not(uki(&line(other_root)?, "IMAGE_VERSION=2")?)?;
    assert!(
        why.starts_with("it expects the root hash 0909") && why.contains("the image's seal says 0202"),
        "{why}"
    );
    let later = why_not(uki(&line(boot(2))?, "IMAGE_VERSION=3")?)?;
    assert_eq!(later, "it is of version 3, and the image's seal has the epoch 2");
    let older = why_not(uki(&line(boot(2))?, "IMAGE_VERSION=0")?)?;
    assert_eq!(older, "it is of version 0, and this host runs 1");
    let silent = why_not(uki(&line(boot(2))?, "VERSION_ID=2")?)?;
    assert_eq!(silent, "it does not say of which version it is (IMAGE_VERSION)");
    let unsigned = program(&[
        (".osrel", b"ID=x"),
        (".cmdline", line(boot(2))?.to_string().as_bytes()),
        (".initrd", b"i"),
        (".linux", b"l"),
    ]);
    assert!(why_not(unsigned)?.starts_with("it is not signed"));
    let unknown = line(boot(2))?.to_string() + " sealpack.later=1";
    let unknown = program(&[
        (".osrel", b"ID=x"),
        (".cmdline", unknown.as_bytes()),
        (".initrd", b"i"),
        (".linux", b"l"),
    ]);
    assert!(why_not(unknown)?.contains("\"sealpack.later=1\" is no word of Sealpack's"));
    Ok(())
}

#[test]
fn words_are_compared_one_by_one_and_hardenings_too() -> Result<()> {
    let mut weaker = boot(2);
    weaker.off = BTreeSet::from([Hardening::Kexec, Hardening::Ptrace]);
    weaker.etc = Etc::Persistent;
    weaker.data_label = "other".parse::<DataLabel>()?;
    let line = CommandLine::new(weaker, ["quiet", "debug"])?;
    let said = why_not(uki(&line, "IMAGE_VERSION=2")?)?;
    let words = "sealpack.data=other sealpack.etc=persistent sealpack.off=kexec sealpack.off=ptrace debug";
    assert_eq!(said, format!("its command line has words that this host's has not: {words}"));
    // Fewer is no more; what is gone is told.
    let fewer = uki(&CommandLine::new(boot(2), [])?, "IMAGE_VERSION=2")?;
    let mut host = host(1)?;
    let mut own = boot(1);
    own.off = BTreeSet::from([Hardening::Kexec]);
    host.command_line = Some(CommandLine::new(own, ["quiet"])?);
    let chosen = choose(vec![candidate(fewer)], &target(2), &host, &Allowed::default())?;
    assert_eq!(chosen.without, ["sealpack.off=kexec", "quiet"]);
    // Asked for, more is taken.
    let allowed = Allowed { words: true, ..Allowed::default() };
    choose(vec![candidate(uki(&line, "IMAGE_VERSION=2")?)], &target(2), &host, &allowed)?;
    Ok(())
}

struct Machine {
    place: tempfile::TempDir,
    esp: Esp,
    facts: Facts,
}

impl Machine {
    /// With UKIs of these names, each of the image that is the number in it.
    fn new(running: u8, names: &[&str]) -> Result<Self> {
        let place = tempfile::tempdir()?;
        let esp = Esp::open(place.path(), FAT)?;
        for name in names {
            let digits: String = name.chars().filter(char::is_ascii_digit).take(1).collect();
            std::fs::write(esp.path_of(name), usual(digits.parse()?)?)?;
        }
        let facts = Facts { booted: Some(boot(running)), ..Facts::default() };
        Ok(Self { place, esp, facts })
    }

    fn boots(&self) -> Result<Boots> {
        Ok(Boots::of(self.esp.entries()?, &self.facts))
    }

    fn plan(&self, image: u8, again: bool) -> Result<(Plan, Chosen)> {
        let any = Host::default();
        let chosen = choose(vec![candidate(usual(image)?)], &target(image), &any, &Allowed::default())?;
        Ok((to(&self.boots()?, &self.facts, &chosen, again)?, chosen))
    }

    fn apply(&mut self, plan: &Plan, chosen: Option<&Chosen>) -> Result<String> {
        plan.apply(&self.esp, chosen, self.place.path())?;
        self.facts.variables = LoaderVariables::read(self.place.path())?;
        Ok(self.boots()?.next().context("something comes next")?.file_name.clone())
    }
}

fn removed(plan: &Plan) -> Vec<&str> {
    plan.remove.iter().map(|entry| entry.file_name.as_str()).collect()
}

#[test]
fn what_runs_stays_and_what_came_up_before_while_that_is_not_blessed() -> Result<()> {
    let mut machine = Machine::new(3, &["sealed_1.efi", "sealed_2.efi", "sealed_3.efi"])?;
    let (plan, chosen) = machine.plan(4, false)?;
    assert_eq!(removed(&plan), ["sealed_2.efi", "sealed_1.efi"]);
    assert_eq!((plan.write.as_deref(), &plan.variable), (Some("sealed_4"), &Change::None));
    assert_eq!(machine.apply(&plan, Some(&chosen))?, "sealed_4+3.efi");
    let machine = Machine::new(3, &["sealed_1.efi", "sealed_2.efi", "sealed_3+2-1.efi"])?;
    assert_eq!(removed(&machine.plan(4, false)?.0), ["sealed_1.efi"]);
    // A half-written one goes; what others put there stays.
    let machine = Machine::new(1, &["sealed_1.efi"])?;
    std::fs::write(machine.esp.path_of("sealed_4+3.efi"), [0; 2000])?;
    std::fs::write(machine.esp.path_of("memtest.efi"), program(&[(".osrel", b"ID=memtest")]))?;
    assert_eq!(removed(&machine.plan(4, false)?.0), ["sealed_4+3.efi"]);
    // What runs is not on the ESP any more: what would come next is what is fallen back to.
    let machine = Machine::new(9, &["sealed_1.efi", "sealed_2.efi"])?;
    assert_eq!(removed(&machine.plan(4, false)?.0), ["sealed_1.efi"]);
    Ok(())
}

#[test]
fn an_older_one_comes_next_by_the_firmwares_variable_and_loses_it_with_its_tries() -> Result<()> {
    let mut machine = Machine::new(5, &["sealed_5.efi"])?;
    let (plan, chosen) = machine.plan(2, false)?;
    assert_eq!(plan.variable, Change::Set("sealed_2[.+][e1-9]*".to_owned()));
    assert_eq!(machine.apply(&plan, Some(&chosen))?, "sealed_2+3.efi");
    assert_eq!(machine.plan(2, false)?.0.state, State::Next);
    std::fs::rename(machine.esp.path_of("sealed_2+3.efi"), machine.esp.path_of("sealed_2+0-3.efi"))?;
    assert_eq!(machine.boots()?.next().map(|entry| entry.file_name.as_str()), Some("sealed_5.efi"));
    let error = machine.plan(2, false).err().context("it failed")?;
    assert!(
        matches!(error.downcast_ref(), Some(UpgradeError::Failed { file }) if file == "sealed_2+0-3.efi")
    );
    let (plan, chosen) = machine.plan(2, true)?;
    assert_eq!(machine.apply(&plan, Some(&chosen))?, "sealed_2+3.efi");
    Ok(())
}

#[test]
fn what_runs_in_its_last_try_keeps_the_name_that_it_was_started_by() -> Result<()> {
    let machine = Machine::new(2, &["sealed_1.efi", "sealed_2+0-3.efi"])?;
    for again in [false, true] {
        let error = machine.plan(2, again).err().context("it has no try left")?;
        assert!(
            matches!(error.downcast_ref(), Some(UpgradeError::LastTry { file }) if file == "sealed_2+0-3.efi"),
            "{error}"
        );
    }
    Ok(())
}

#[test]
fn going_back_and_forth_changes_the_variable_and_no_file() -> Result<()> {
    let mut machine = Machine::new(2, &["sealed_1.efi", "sealed_2.efi"])?;
    let (plan, to) = back_to(&machine.boots()?, &machine.facts)?;
    assert_eq!(
        (to.file_name.as_str(), &plan.variable),
        ("sealed_1.efi", &Change::Set("sealed_1[.+][e1-9]*".into()))
    );
    assert_eq!(machine.apply(&plan, None)?, "sealed_1.efi");
    let error = machine.plan(2, false).err().context("somebody went back from it")?;
    assert!(matches!(error.downcast_ref(), Some(UpgradeError::PutBack { .. })), "{error}");
    let (plan, _) = back_to(&machine.boots()?, &machine.facts)?;
    assert_eq!(plan.variable, Change::Clear);
    assert_eq!(machine.apply(&plan, None)?, "sealed_2.efi");
    // Spent tries are no way back, nor is nothing.
    let machine = Machine::new(2, &["sealed_1+0-3.efi", "sealed_2.efi"])?;
    assert!(matches!(back_to(&machine.boots()?, &machine.facts), Err(UpgradeError::NoFallback { .. })));
    Ok(())
}

#[test]
fn a_name_that_is_taken_by_another_image_gets_something_behind_it() -> Result<()> {
    let machine = Machine::new(1, &[])?;
    std::fs::write(machine.esp.path_of("sealed_2.efi"), usual(1)?)?;
    let (plan, _) = machine.plan(2, false)?;
    let stem = plan.write.context("it is written")?;
    ensure!(stem.len() == "sealed_2_02020202".len() && stem.starts_with("sealed_2_"), "{stem}");
    Ok(())
}

#[test]
fn another_uki_of_the_image_that_runs_is_written_beside_it() -> Result<()> {
    // As when it is signed by another key: the image is the same, and so is the version.
    let mut machine = Machine::new(2, &["sealed_1.efi", "sealed_2.efi"])?;
    let line = CommandLine::new(boot(2), ["quiet", "debug"])?;
    let found = vec![candidate(uki(&line, "IMAGE_VERSION=2")?)];
    let chosen = choose(found, &target(2), &Host::default(), &Allowed::default())?;
    let plan = to(&machine.boots()?, &machine.facts, &chosen, false)?;
    assert_eq!((plan.state, removed(&plan)), (State::ToDo, vec!["sealed_1.efi"]));
    let next = machine.apply(&plan, Some(&chosen))?;
    ensure!(next.starts_with("sealed_2_") && next.ends_with("+3.efi"), "{next}");
    assert_eq!(to(&machine.boots()?, &machine.facts, &chosen, false)?.state, State::Next);
    Ok(())
}

#[test]
fn a_full_esp_is_named_before_anything_is_removed() -> Result<()> {
    let machine = Machine::new(1, &["sealed_1.efi"])?;
    let (plan, chosen) = machine.plan(2, false)?;
    let full = Esp::open(machine.place.path(), Filesystem { free_bytes: 1000, ..FAT })?;
    let error = plan.check_room(&full, &chosen).err().context("it is full")?;
    assert!(error.to_string().contains("has 1000 bytes left"), "{error}");
    Ok(())
}

#[test]
fn one_command_at_a_time_has_the_place_of_what_waits() -> Result<()> {
    let place = tempfile::tempdir()?;
    let directory = place.path().join("boot");
    let held = Staged::hold(&directory)?;
    assert!(
        matches!(Staged::hold(&directory), Err(UpgradeError::UnderWay { path }) if path.ends_with("upgrade.lock"))
    );
    assert!(matches!(held.get(), Err(UpgradeError::NotStaged)));
    held.put(b"one")?;
    held.put(b"other")?;
    assert_eq!(held.get()?, b"other");
    held.clear()?;
    held.clear()?;
    drop(held);
    assert!(matches!(Staged::hold(&directory)?.get(), Err(UpgradeError::NotStaged)));
    Ok(())
}

#[test]
fn a_clock_at_1970_is_behind_any_seal() -> Result<()> {
    let sealed = Timestamp::from_unix_seconds(1_795_804_495).context("a time")?;
    let error = check_clock(UNIX_EPOCH, sealed).err().context("it is behind")?;
    let said = "the clock says 1970-01-01T00:00:00Z, and what runs was sealed at 2026-11-27T18:34:55Z";
    assert!(error.to_string().starts_with(said), "{error}");
    check_clock(UNIX_EPOCH + Duration::from_secs(1_795_804_495), sealed)?;
    Ok(())
}

#[test]
fn what_others_put_there_is_not_taken_for_the_one_that_came_up_before() -> Result<()> {
    let machine = Machine::new(2, &["sealed_1.efi", "sealed_2+2-1.efi"])?;
    // By its name it comes before all of the host's.
    std::fs::write(machine.esp.path_of("rescue.efi"), program(&[(".osrel", b"ID=a")]))?;
    assert_eq!(removed(&machine.plan(3, false)?.0), Vec::<&str>::new());
    Ok(())
}

#[test]
fn a_name_that_the_boot_loader_finds_another_one_by_is_no_way_back() -> Result<()> {
    let machine = Machine::new(2, &["sealed.efi1.efi"])?;
    std::fs::remove_file(machine.esp.path_of("sealed.efi1.efi"))?;
    std::fs::write(machine.esp.path_of("sealed.efi"), usual(1)?)?;
    std::fs::write(machine.esp.path_of("sealed.extra.efi"), usual(2)?)?;
    let error = back_to(&machine.boots()?, &machine.facts).err().context("it is said to come next")?;
    ensure!(matches!(&error, UpgradeError::Ambiguous { file } if file == "sealed.efi"), "{error}");
    Ok(())
}

#[test]
fn something_of_the_name_of_the_new_uki_is_named_before_anything_is_removed() -> Result<()> {
    let machine = Machine::new(2, &["sealed_1.efi", "sealed_2.efi"])?;
    std::fs::create_dir(machine.esp.path_of("sealed_3+3.efi"))?;
    let (plan, chosen) = machine.plan(3, false)?;
    assert_eq!(removed(&plan), ["sealed_1.efi"]);
    let error = plan.check_room(&machine.esp, &chosen).err().context("there is room")?;
    assert!(matches!(error, UpgradeError::Esp(crate::esp::EspError::Exists { .. })), "{error}");
    // What goes before is in nobody's way.
    std::fs::remove_dir(machine.esp.path_of("sealed_3+3.efi"))?;
    std::fs::write(machine.esp.path_of("sealed_3+3.efi"), [0; 2000])?;
    let (plan, chosen) = machine.plan(3, false)?;
    plan.check_room(&machine.esp, &chosen)?;
    plan.apply(&machine.esp, Some(&chosen), machine.place.path())?;
    Ok(())
}

#[test]
fn a_signature_that_cannot_be_read_is_nobodys_who_signed_what_runs() -> Result<()> {
    use sealpack_trust::key::{Certificate, KeyKind, Validity, generate};
    let validity = Validity::starting(std::time::SystemTime::now(), Duration::from_secs(86_400))?;
    let boot_key = generate(KeyKind::P256, &"boot".parse()?, &validity)?;
    let signers = vec![Certificate::parse(boot_key.certificate_pem.as_bytes())?];
    let host = Host { signers, ..host(1)? };
    let take = |allowed: &Allowed| {
        choose(vec![candidate(usual(2)?)], &target(2), &host, allowed).map_err(Into::into)
    };
    let error: anyhow::Error = take(&Allowed::default()).err().context("it is taken")?;
    ensure!(error.to_string().contains("nobody signed it who signed what runs"), "{error}");
    let chosen = take(&Allowed { signer: true, ..Allowed::default() })?;
    ensure!(chosen.is_by_others);
    Ok(())
}

#[test]
fn what_is_in_the_place_of_what_waits_is_in_nobodys_way() -> Result<()> {
    let place = tempfile::tempdir()?;
    let held = Staged::hold(place.path())?;
    for name in ["staged.efi", ".staged.new"] {
        std::fs::create_dir_all(place.path().join(name).join("below"))?;
    }
    ensure!(held.get().is_err());
    held.clear()?;
    held.put(b"one")?;
    assert_eq!(held.get()?, b"one");
    Ok(())
}
