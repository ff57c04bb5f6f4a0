//! The time and memory of the composefs tools, ours and C's.

use super::contender::{Contender, measure_all};
use super::setting::{Scale, Setting};
use super::table::Table;
use anyhow::Result;
use sealpack_tests::composefs::Tools;
use sealpack_tests::random_dump::Random;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

/// Files of the directory that is read.
const FILES: u64 = 50_000;

/// Files of the directory whose contents are stored: the C tool flushes each one by itself.
const STORED_FILES: u64 = 5_000;

/// What one of the tools does, given the tools and a directory for what it writes.
type Task = Rc<dyn Fn(&Tools, &Path) -> Command>;

/// Ours beside C's, where these are.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    if setting.scale == Scale::Full {
        Tools::fetch_c()?;
    }
    let ours = Rc::new(Tools::links_to(&setting.sealpack)?);
    let c = Tools::c()?.map(Rc::new);
    let (inputs, runs) = (setting.directory("compat")?, setting.runs(5));
    let mut tables = Vec::new();
    for (number, (title, task)) in tasks(setting, &ours, inputs.path())?.into_iter().enumerate() {
        let contender = |name: &str, tools: &Rc<Tools>| {
            let (tools, task) = (Rc::clone(tools), Rc::clone(&task));
            Contender::simple(name, move |dir| task(&tools, dir))
        };
        let mut contenders = vec![contender("sealpack", &ours)];
        contenders.extend(c.as_ref().map(|c| contender("C composefs", c)));
        let rows = measure_all(setting, &contenders, runs, inputs.path())?;
        let about = format!("Medians of {runs} rounds.");
        tables.push(Table { name: format!("compat-{number}"), title, about, rows, ..Table::default() });
    }
    Ok(tables)
}

fn tasks(setting: &Setting, ours: &Tools, inputs: &Path) -> Result<Vec<(String, Task)>> {
    let mut tasks: Vec<(String, Task)> = Vec::new();
    let mut image = PathBuf::new();
    for entries in setting.choose([100_000, 1_000_000], [100, 1000]) {
        let dump = inputs.join(format!("{entries}.dump"));
        write_dump(&dump, entries)?;
        image = inputs.join(format!("{entries}.image"));
        ours.run("mkcomposefs", ["--from-file".as_ref(), dump.as_os_str(), image.as_os_str()])?;
        let task = move |tools: &Tools, place: &Path| {
            tools.command(
                "mkcomposefs",
                ["--from-file".as_ref(), dump.as_os_str(), place.join("image").as_os_str()],
            )
        };
        tasks.push((format!("`mkcomposefs --from-file` of {entries} entries"), Rc::new(task)));
    }
    let directory = inputs.join("directory");
    let files = setting.choose(FILES, 100);
    write_files(&directory, files)?;
    let task = move |tools: &Tools, place: &Path| {
        tools.command("mkcomposefs", [directory.as_os_str(), place.join("image").as_os_str()])
    };
    tasks.push((format!("`mkcomposefs` of a directory of {files} files"), Rc::new(task)));
    let directory = inputs.join("smaller-directory");
    let files = setting.choose(STORED_FILES, 10);
    write_files(&directory, files)?;
    let task = move |tools: &Tools, place: &Path| {
        let mut command = tools.command("mkcomposefs", ["--digest-store"]);
        command.args([&place.join("objects"), &directory, &place.join("image")]);
        command
    };
    tasks.push((format!("`mkcomposefs --digest-store` of a directory of {files} files"), Rc::new(task)));
    let task = move |tools: &Tools, _: &Path| {
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$0" dump "$1" >/dev/null"#]);
        command.arg(tools.directory().join("composefs-info")).arg(&image);
        command
    };
    tasks
        .push(("`composefs-info dump` of the image of the second of these tables".to_owned(), Rc::new(task)));
    Ok(tasks)
}

/// A dump like that of an operating system: a directory for ten files, most of them objects.
fn write_dump(path: &Path, entries: u64) -> Result<()> {
    let mut out = BufWriter::new(fs::File::create(path)?);
    let mut random = Random::new(entries);
    let label = "security.selinux=system_u:object_r:usr_t:s0\\x00";
    writeln!(out, "/ 0 40755 2 0 0 0 1700000000.0 - - - {label}")?;
    let mut directory = String::new();
    for entry in 1..entries {
        if entry % 10 == 1 {
            directory = format!("/directory{:07}", entry / 10);
            writeln!(out, "{directory} 0 40755 2 0 0 0 1700000000.0 - - - {label}")?;
            continue;
        }
        let path = format!("{directory}/some-file-{:x}", random.next());
        let time = 1_700_000_000 + random.below(1 << 20);
        if random.once_in(8) {
            writeln!(out, "{path} 12 120777 1 0 0 0 {time}.0 ../some/file - - {label}")?;
        } else if random.once_in(8) {
            writeln!(out, "{path} 20 100644 1 0 0 0 {time}.0 - twenty_bytes_inside_ - {label}")?;
        } else {
            let digest: String = (0..4).map(|_| format!("{:016x}", random.next())).collect();
            let (size, start, rest) = (65 + random.below(1 << 20), &digest[..2], &digest[2..]);
            writeln!(out, "{path} {size} 100644 1 0 0 0 {time}.0 {start}/{rest} - {digest} {label}")?;
        }
    }
    Ok(out.flush()?)
}

/// Files of 0 to 16 KiB, and a large one for each thousand, in directories of a hundred.
fn write_files(directory: &Path, files: u64) -> Result<()> {
    let mut random = Random::new(files);
    let content: Vec<u8> = (0..1 << 20).map(|_| random.below(256) as u8).collect();
    for number in 0..files {
        let below = directory.join(format!("{}", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&below)?;
        }
        let length = if number % 1000 == 0 { 1 << 19 } else { random.below(1 << 14) };
        let start = random.below((1 << 20) - length) as usize;
        fs::write(below.join(format!("file{number}")), &content[start..start + length as usize])?;
    }
    Ok(())
}
