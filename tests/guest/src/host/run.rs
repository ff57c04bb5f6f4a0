//! Runs of the checks of sealed hosts: the boots that they need, and for each check how it ended.

use super::build::{self, Uki, Workshop};
use super::checks::{self, Boot, Judge};
use super::machine::{Machine, Start};
use super::task::Task;
use super::{ACCESS_DENIED, data, esp, fleet, forge, rescue, updates};
use crate::emulator::Ended;
use crate::kernels::Generation;
use crate::keys::EMPTY_VARIABLES;
use crate::programs;
use crate::report::{Line, Outcome};
use crate::run::{Results, shared_as};
use anyhow::{Context, Result, bail, ensure};
use sealpack_format::boot::Hardening;
use sealpack_tests::{command, debian};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What is higher than the epoch of every seal, in the name of a UKI.
const NEWEST: &str = "sealed_99999999999";

/// What a hypervisor would append.
const APPENDED: &str = "ipe.enforce=0";

/// What a hypervisor would give to systemd (systemd.system-credentials(7)): a unit that has the image's shell do what it
/// likes, and who wants it.
const CREDENTIALS: [&str; 2] = [
    "systemd.extra-unit.evil.service=[Service]\nType=oneshot\nExecStart=/bin/sh -c 'id > /run/evil'\n",
    "systemd.unit-dropin.sysinit.target~evil=[Unit]\nWants=evil.service\n",
];

/// How a refused boot begins to say so.
const REFUSED: &str = "boot refused, ";

/// Boots hosts, as often as the checks `names` need, and has them run these; `watch` sees each result when it is there. Where
/// that is not possible all checks are skipped, and say why.
///
/// # Errors
/// If something that the boots need cannot be made.
pub fn run(generation: Generation, names: &[&str], mut watch: impl FnMut(&str, &Line)) -> Result<Results> {
    if let Some(why) = why_not() {
        return Ok(skipped(generation, names, &why));
    }
    let programs = programs::build()?;
    let work = build::work()?;
    let Some(workshop) = Workshop::new(generation, &programs, work.path())? else {
        let why = format!("Debian has no stock kernel {} to fetch", generation.name());
        return Ok(skipped(generation, names, &why));
    };
    let boots = Boots::new(&workshop)?;
    let mut results = Results { version: generation.name().to_owned(), ..Results::default() };
    for boot in Boot::ALL.into_iter().filter(|boot| boot.is_for(generation)) {
        let is_in = |name: &&str| checks::find(name).is_some_and(|check| check.judge.boots().contains(&boot));
        let names: Vec<&str> = names.iter().copied().filter(is_in).collect();
        if names.is_empty() {
            continue;
        }
        let ended = boots.start(boot, &names, |line| watch(generation.name(), line))?;
        for (name, outcome) in outcomes(boot, &names, &ended) {
            // One that failed in an earlier boot has failed.
            let earlier = results.outcomes.get(&name);
            if earlier.is_none_or(|earlier| *earlier == Outcome::Ok) {
                results.outcomes.insert(name, outcome);
            }
        }
        results.log += &format!("--- boot {boot:?}\n{}", ended.log);
    }
    Ok(results)
}

/// The results of all checks in this run of the tests: whoever asks first boots, all others wait and read.
///
/// # Errors
/// As [`run`]; and if the results cannot be kept.
pub fn shared(generation: Generation) -> Result<Results> {
    let names = checks::names_for(generation);
    let key = format!("host-{}", generation.name());
    shared_as(&key, generation, &names, || run(generation, &names, |_, _| {}))
}

fn skipped(generation: Generation, names: &[&str], why: &str) -> Results {
    Results {
        version: generation.name().to_owned(),
        outcomes: names.iter().map(|&name| (name.to_owned(), Outcome::Skipped(why.to_owned()))).collect(),
        log: String::new(),
    }
}

/// Why no host can be booted here, if so.
pub fn why_not() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the stock kernels are those of x86_64".into());
    }
    let missing = [debian::FOR_GUEST, debian::FOR_HOST].into_iter().flat_map(debian::missing);
    let missing: Vec<&str> = missing.map(|package| package.name).collect();
    if !missing.is_empty() {
        return Some(format!("not installed: {}", missing.join(", ")));
    }
    if command::is_root() { None } else { Some("building Debian images needs the superuser".into()) }
}

/// What the boots start from.
struct Boots<'w> {
    workshop: &'w Workshop,
    /// Made when a boot first needs it: some have images of their own.
    usual: OnceCell<Usual>,
    variables: PathBuf,
}

/// The usual image's UKI, and a disk with both.
struct Usual {
    uki: PathBuf,
    disk: PathBuf,
}

impl<'w> Boots<'w> {
    fn new(workshop: &'w Workshop) -> Result<Self> {
        Ok(Self { workshop, usual: OnceCell::new(), variables: workshop.variables()? })
    }

    fn usual(&self) -> Result<&Usual> {
        if let Some(usual) = self.usual.get() {
            return Ok(usual);
        }
        let uki = self.workshop.uki(&Uki::default())?;
        let disk = self.workshop.disk("disk", &[&uki])?;
        updates::put_policies(self.workshop, &disk)?;
        Ok(self.usual.get_or_init(|| Usual { uki, disk }))
    }

    /// Starts the machine of a boot.
    fn start(&self, boot: Boot, names: &[&str], watch: impl FnMut(&Line)) -> Result<Ended> {
        if boot == Boot::Fleet {
            return fleet::run(self.workshop, &self.variables, names, watch);
        }
        let machine = self.machine(boot)?;
        let is_probes =
            |name: &&str| checks::find(name).is_some_and(|check| matches!(check.judge, Judge::Probe(_)));
        let names: Vec<&str> = names.iter().copied().filter(is_probes).collect();
        let mut start = Start {
            task: Some(Task { is_bare: boot == Boot::Bare, ..Task::checks(&names) }),
            ..Start::default()
        };
        match boot {
            Boot::Sealed => {
                start.strings = CREDENTIALS.map(|given| format!("io.systemd.credential:{given}")).to_vec();
            }
            // The late one reboots by itself.
            Boot::Later | Boot::Page | Boot::Late | Boot::Shim | Boot::Full | Boot::Fleet => {}
            // The earliest date that the firmware leaves as it is.
            Boot::Bare => start.clock = Some("1998-01-02".to_owned()),
            Boot::WrongRoot | Boot::Enrolled => start.reboots = true,
            // It stands there with the firmware's message.
            Boot::Tampered => start.until_shown = Some(ACCESS_DENIED.to_owned()),
            Boot::Appended => {
                start.strings = vec![format!("io.systemd.stub.kernel-cmdline-extra={APPENDED}")];
                start.until_shown = Some(REFUSED.to_owned());
            }
            Boot::Rescue => {
                let damaged = self.workshop.file("damaged-disk");
                rescue::damage(&self.usual()?.disk, &damaged)?;
                start.damaged_disk = Some(damaged);
            }
            Boot::WholePage => start.until_shown = Some(LOGIN.to_owned()),
            Boot::Containers => {
                let registry = self.workshop.publish_for_containers()?;
                start.registry = Some(registry.host());
                return machine.run(&start, watch);
            }
            Boot::TwoData => {
                start.second_disk = Some(self.usual()?.disk.clone());
                start.until_shown = Some(REFUSED.to_owned());
            }
            Boot::UnknownWord
            | Boot::WordTwice
            | Boot::UnknownSigner
            | Boot::NoData
            | Boot::Damaged
            | Boot::NoPack => {
                start.until_shown = Some(REFUSED.to_owned());
            }
        }
        machine.run(&start, watch)
    }

    fn machine(&self, boot: Boot) -> Result<Machine> {
        let dir = self.workshop.file(boot.directory());
        if dir.exists() {
            return Ok(Machine::at(&dir));
        }
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let by_page = match boot {
            Boot::Page => Some(self.workshop.by_the_page()?.own_keys()?),
            Boot::WholePage => Some(self.workshop.by_the_whole_page()?.own_keys()?),
            Boot::Shim => Some(self.workshop.by_the_page()?.shim()?),
            _ => None,
        };
        if let Some((disk, variables)) = by_page {
            return Machine::new(&dir, &disk, &variables);
        }
        if boot == Boot::Containers {
            return Machine::new(&dir, &self.workshop.disk_for_containers()?, &self.variables);
        }
        if boot == Boot::Rescue {
            return Machine::new(&dir, &rescue::disk(self.workshop)?, &self.variables);
        }
        if boot == Boot::Enrolled {
            let keys = self.workshop.auth_files()?;
            let disk = self.workshop.disk_with("with-keys", &[&self.usual()?.uki], Some(&keys))?;
            return Machine::new(&dir, &disk, Path::new(EMPTY_VARIABLES));
        }
        let variables = match boot {
            // With Secure Boot the kernel locks itself down, and what lockdown stops could not be shown.
            Boot::Bare => self.workshop.open_variables()?,
            _ => self.variables.clone(),
        };
        let machine = Machine::new(&dir, &self.usual()?.disk, &variables)?;
        self.change(boot, &machine.disk())?;
        Ok(machine)
    }

    /// Changes a disk for its boot.
    fn change(&self, boot: Boot, disk: &Path) -> Result<()> {
        match boot {
            Boot::Sealed => self.add_unsigned_files(disk),
            Boot::Later | Boot::Appended | Boot::TwoData => Ok(()),
            Boot::Page
            | Boot::WholePage
            | Boot::Shim
            | Boot::Enrolled
            | Boot::Containers
            | Boot::Fleet
            | Boot::Rescue => Ok(()),
            Boot::Bare => {
                let off = Hardening::ALL.map(Hardening::name);
                self.put_only(disk, &Uki { name: Some("bare"), off: &off, ..Uki::default() })
            }
            Boot::NoData => {
                self.put_only(disk, &Uki { name: Some("no-data"), data: Some("elsewhere"), ..Uki::default() })
            }
            Boot::Late => {
                let deadline = Some(DEADLINE);
                let uki = Uki { name: Some("late"), data: Some("elsewhere"), deadline, ..Uki::default() };
                self.put_only(disk, &uki)
            }
            Boot::UnknownSigner => {
                // It owns the firmware's keys, and is not in db.
                let signer = self.workshop.keys().platform.clone();
                self.workshop.make_policy_signed("0.9.0", &[], &signer)?;
                let policy = Some(("0.9.0", &signer));
                self.put_only(disk, &Uki { name: Some("unknown-signer"), policy, ..Uki::default() })
            }
            Boot::UnknownWord => self.put_with_words(disk, boot, "sealpack.weather=fine"),
            Boot::WordTwice => self.put_with_words(disk, boot, "sealpack.etc=tmpfs sealpack.etc=tmpfs"),
            Boot::NoPack => data::remove_a_pack(disk),
            Boot::Damaged => data::damage(disk),
            Boot::Full => data::fill(disk),
            Boot::WrongRoot => {
                let forged = self.workshop.file("wrong-root.efi");
                let stub = self.workshop.stub()?;
                let key = &self.workshop.keys().boot;
                forge::with_command_line(&self.usual()?.uki, &stub, key, &forge::another_root, &forged)?;
                esp::put_uki(disk, &format!("{NEWEST}+1.efi"), &forged)
            }
            Boot::Tampered => {
                let changed = self.workshop.file("tampered.efi");
                forge::with_changed_byte(&self.usual()?.uki, &changed)?;
                esp::remove_ukis(disk)?;
                esp::put_uki(disk, "tampered.efi", &changed)
            }
        }
    }

    /// Makes a UKI, and leaves no other on the disk.
    fn put_only(&self, disk: &Path, uki: &Uki<'_>) -> Result<()> {
        let file = self.workshop.uki(uki)?;
        esp::remove_ukis(disk)?;
        esp::put_uki(disk, "only.efi", &file)
    }

    /// The same with words that no builder would put there, signed all the same.
    fn put_with_words(&self, disk: &Path, boot: Boot, words: &str) -> Result<()> {
        let placeholder = "x".repeat(words.len());
        let name = format!("{}-good", boot.directory());
        let uki = Uki { name: Some(&name), append: &[&placeholder], ..Uki::default() };
        let good = self.workshop.uki(&uki)?;
        let forged = self.workshop.file(&format!("{}.efi", boot.directory()));
        let change = |text: &[u8]| forge::replaced(text, placeholder.as_bytes(), words.as_bytes());
        forge::with_command_line(
            &good,
            &self.workshop.stub()?,
            &self.workshop.keys().boot,
            &change,
            &forged,
        )?;
        esp::remove_ukis(disk)?;
        esp::put_uki(disk, "only.efi", &forged)
    }

    /// What systemd-stub takes along: a credential and an extension, for all UKIs and for this one.
    fn add_unsigned_files(&self, disk: &Path) -> Result<()> {
        let evil = self.workshop.file("evil");
        fs::write(&evil, "nobody signed this")?;
        let stem = self.usual()?.uki.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for path in [
            "loader/credentials/evil.cred".to_owned(),
            "loader/extensions/evil.sysext.raw".to_owned(),
            format!("EFI/Linux/{stem}.efi.extra.d/evil-too.cred"),
            format!("EFI/Linux/{stem}.efi.extra.d/evil-too.confext.raw"),
        ] {
            esp::put(disk, &path, &evil)?;
        }
        Ok(())
    }
}

/// The checks of refused boots, each with the step and words of what they say.
const REFUSALS: &[(&str, &str, &str)] = &[
    ("host_refuses_wrong_root", "image", "root hash"),
    ("host_cmdline_extra_refused", "command-line", APPENDED),
    ("host_unknown_word", "command-line", "\"sealpack.weather=fine\" is no word of Sealpack's"),
    ("host_word_twice", "command-line", "\"sealpack.etc\" is on the command line twice"),
    ("host_unknown_signer", "policy", "the kernel has no certificate of the signer"),
    ("host_data_missing", "data-partition", "no filesystem has the label elsewhere; there are /dev/vda ("),
    ("host_deadline", "data-partition", "all steps may take 19 s together, and this one is not done"),
    ("host_data_twice", "data-partition", "2 filesystems have the label sealpack-data: /dev/vda2, /dev/vd"),
    ("host_data_damaged", "data-partition", "EBADMSG"),
    ("host_incomplete_image", "image", "the pack /data/store/packs/sha256/"),
];

/// The data partition is waited for 20 s: the deadline is over within that time, whenever that begins.
const DEADLINE: &str = "19";

/// What a host of the page asks for in the end; its name is that of the page's setup.
const LOGIN: &str = "sealed login:";

/// How the checks of a boot ended.
fn outcomes(boot: Boot, names: &[&str], ended: &Ended) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    for line in &ended.lines {
        if let Line::End(name, outcome) = line {
            let outcome = match outcome {
                Outcome::Failed(why) => Outcome::Failed(format!("in boot {boot:?}: {why}")),
                other => other.clone(),
            };
            outcomes.insert(name.clone(), outcome);
        }
    }
    let how = ended.ended_by_us.as_deref().unwrap_or("it ended by itself");
    for &name in names {
        let judged = checks::find(name).is_some_and(|check| check.judge == Judge::Console(boot));
        let outcome = if judged {
            console(name, ended).map_or_else(|error| Outcome::Failed(format!("{error:#}")), |()| Outcome::Ok)
        } else {
            Outcome::Failed(format!("boot {boot:?} did not come to this check: {how}"))
        };
        outcomes.entry(name.to_owned()).or_insert(outcome);
    }
    outcomes
}

/// Judges a boot by its console.
fn console(name: &str, ended: &Ended) -> Result<()> {
    let log = ended.log.as_str();
    let refusals: Vec<&str> = log.lines().filter(|line| line.contains(REFUSED)).collect();
    match name {
        "host_tampered_uki" => {
            ensure!(log.contains(ACCESS_DENIED), "the firmware does not say that it is denied");
            ensure!(!log.contains("Linux version"), "the kernel was started");
        }
        "host_by_the_whole_page" => {
            ensure!(log.contains(LOGIN), "it does not ask who logs in");
            ensure!(refusals.is_empty() && !log.contains("[FAILED]"), "not all went well: {refusals:?}");
            return Ok(());
        }
        _ => {
            let Some((_, step, words)) = REFUSALS.iter().find(|(check, ..)| *check == name) else {
                bail!("nobody judges {name} by the console")
            };
            let [refusal] = refusals.as_slice() else { bail!("there is not one refusal: {refusals:?}") };
            ensure!(
                refusal.contains(&format!("{REFUSED}{step}: ")) && refusal.contains(words),
                "it was refused for something else: {refusal}"
            );
        }
    }
    if name == "host_deadline" {
        ensure!(ended.ended_by_us.is_none(), "the machine did not start again: {:?}", ended.ended_by_us);
    }
    ensure!(!log.contains("login:") || name == "host_refuses_wrong_root", "the system was started");
    Ok(())
}
