//! Man pages and completions.

use crate::{VERBS, program, with_images};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, find, run, stdout};
use sealpack_tests::program::{start, under_test};
use sealpack_tests::{paths, skip};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn there_is_a_man_page_for_every_verb() -> Result<()> {
    let dir = tempfile::tempdir_in(paths::fixtures())?;
    run(program(&["generate", "man"])?.arg(dir.path()))?;
    let page = |name: &str| dir.path().join(format!("{name}.1"));
    for name in VERBS.map(|verb| format!("sealpack-{verb}")).into_iter().chain(["sealpack".to_owned()]) {
        let text = fs::read_to_string(page(&name)).with_context(|| format!("no page {name}"))?;
        for part in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
            ensure!(text.contains(part), "{name} has no {part}");
        }
        check_page(&page(&name))?;
    }
    let rules = dir.path().join("sealpack-rules.toml.5");
    let text = fs::read_to_string(&rules)?;
    for word in ["default", "prefix", "require", "signed_by", "all", "minimum_epoch", "digest", "mirrors"] {
        ensure!(text.contains(word), "the page about rules says nothing of {word}");
    }
    check_page(&rules)?;
    let settings = dir.path().join("sealpack.toml.5");
    let text = fs::read_to_string(&settings)?;
    // Each setting of the page in docs/, and its whole example.
    let documented = fs::read_to_string(paths::workspace().join("docs/sealpack.toml.md"))?;
    let keys: Vec<&str> =
        documented.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    ensure!(keys.contains(&"store") && keys.len() > 7, "{keys:?}");
    for key in keys {
        ensure!(text.contains(&format!(".TP\n\\fB{key}\\fR\n")), "the page about settings has no {key}");
    }
    for line in documented.lines().filter_map(|line| line.strip_prefix("    ")) {
        ensure!(text.lines().any(|other| other == line.replace('-', "\\-")), "no {line}");
    }
    check_page(&settings)
}

/// The rules of the man page's example are rules.
#[test]
fn the_example_of_the_man_page_about_rules_is_understood() -> Result<()> {
    let dir = tempfile::tempdir_in(paths::fixtures())?;
    run(program(&["generate", "man"])?.arg(dir.path()))?;
    let page = fs::read_to_string(dir.path().join("sealpack-rules.toml.5"))?;
    let (_, example) = page.split_once(".SH EXAMPLES\n.nf\n").context("no example")?;
    let (example, _) = example.split_once(".fi").context("no end")?;
    fs::write(dir.path().join("rules.toml"), example)?;
    let listed = stdout(program(&["--json", "trust", "list", "--trust"])?.arg(dir.path()))?;
    let listed: Value = serde_json::from_str(&listed)?;
    ensure!(listed["missing_signers"].as_array().is_some_and(|missing| missing.len() == 2), "{listed}");
    Ok(())
}

/// Has man(1) read a page, where it is installed.
fn check_page(page: &Path) -> Result<()> {
    let (Some(man), Some(_)) = (find("man"), find("groff")) else {
        skip("man or groff is not installed");
        return Ok(());
    };
    let mut command = Command::new(man);
    command.args(["--warnings", "--local-file"]).arg(page).envs([("MANWIDTH", "80"), ("LC_ALL", "C.UTF-8")]);
    let output = run(&mut command)?;
    let warnings = String::from_utf8_lossy(&output.stderr);
    ensure!(warnings.is_empty() && output.stdout.len() > 200, "{}: {warnings}", page.display());
    Ok(())
}

#[test]
fn man_pages_for_a_directory_that_is_not_there_are_refused() -> Result<()> {
    let output = attempt(&mut program(&["generate", "man", "/no/such/directory"])?)?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    ensure!(said.contains("/no/such/directory") && said.contains("No such file"), "{said}");
    ensure!(said.contains("hint: ") && said.contains("mkdir -p"), "{said}");
    Ok(())
}

#[test]
fn completions_are_scripts_that_their_shells_can_read() -> Result<()> {
    let dir = tempfile::tempdir_in(paths::fixtures())?;
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = stdout(&mut program(&["generate", "completions", shell])?)?;
        ensure!(script.contains("SEALPACK_COMPLETE") && script.contains("sealpack"), "{shell}: {script}");
        let Some(program) = find(shell) else {
            skip(format!("{shell} is not installed"));
            continue;
        };
        let path = dir.path().join(shell);
        fs::write(&path, &script)?;
        run(Command::new(program).arg(check).arg(&path))?;
    }
    Ok(())
}

/// What bash offers at the end of a line, as it takes that apart itself: at colons too, and where those stand, it keeps what is
/// before them.
#[test]
fn bash_completes_verbs_and_names_of_images_with_colons() -> Result<()> {
    let Some(bash) = find("bash") else {
        skip("bash is not installed");
        return Ok(());
    };
    let (sealpack, dir) = with_images()?;
    sealpack.run(["tag", "one", "localhost:5000/site/app:1"])?;
    sealpack.run(["tag", "one", "localhost:5000/site/app:2"])?;
    sealpack.run(["tag", "one", "docker.io/library/debian:12"])?;
    let script = stdout(&mut program(&["generate", "completions", "bash"])?)?;
    std::os::unix::fs::symlink(under_test()?, dir.path().join("sealpack"))?;
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH")?);
    let offered = |line: &str, words: &str| -> Result<String> {
        let ask = format!(
            "COMP_WORDBREAKS=$' \\t\\n\"\\'><=;|&(:' COMP_LINE='{line}' COMP_POINT={} COMP_WORDS=({words}) \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _sealpack; echo \"${{COMPREPLY[*]}}\"",
            line.len()
        );
        let mut bash = start(bash.as_os_str());
        bash.args(["--norc", "-c", &format!("{script}\n{ask}")]).env("PATH", &path);
        stdout(bash.env("SEALPACK_STORE", sealpack.store()))
    };
    assert_eq!(offered("sealpack um", "sealpack um")?, "umount");
    assert_eq!(
        offered("sealpack mount localhost", "sealpack mount localhost")?,
        "localhost:5000/site/app:1 localhost:5000/site/app:2"
    );
    // As much as is not there yet, behind the last colon.
    assert_eq!(
        offered("sealpack mount localhost:50", "sealpack mount localhost : 50")?,
        "5000/site/app:1 5000/site/app:2"
    );
    let tags = "sealpack rm localhost : 5000/site/app :";
    assert_eq!(offered("sealpack rm localhost:5000/site/app:", tags)?, "1 2");
    assert_eq!(offered("sealpack rm localhost:5000/site/app:2", &format!("{tags} 2"))?, "2");
    assert_eq!(offered("sealpack cat deb", "sealpack cat deb")?, "debian:12");
    // A store that is none is no error in the middle of a line.
    let none = format!("sealpack --store {} rm ", dir.path().join("none").display());
    let said = offered(&none, &format!("{none} ''"))?;
    ensure!(said.contains("--force") && !said.contains("app"), "{said}");
    Ok(())
}
