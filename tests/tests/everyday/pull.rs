//! What stands behind the verb is what is meant: sources are sources, and a name is given with `--name`.

use crate::support::*;
use anyhow::{Result, ensure};
use sealpack_test_registry::digest_of;
use sealpack_tests::refusal::Exit;

#[test]
fn a_pull_of_several_sources_brings_each_under_its_own_name() -> Result<()> {
    let desk = Desk::new()?;
    let (one, two) = (desk.serve("one", &image(1)), desk.serve("two", &image(2)));
    let said = desk.succeeds(&["pull", &one, &two])?;
    ensure!(desk.names()? == [one.clone(), two.clone()], "{said}");
    for (source, image) in [(one, image(1)), (two, image(2))] {
        let shown = desk.sealpack.json(["inspect", &source])?;
        ensure!(shown["manifest"] == digest_of(&image.manifest), "{source}: {shown:#}");
        ensure!(said.contains(&source), "{said}");
    }
    Ok(())
}

#[test]
fn a_source_that_fails_undoes_none_of_the_others_and_is_seen_in_the_exit_status() -> Result<()> {
    let desk = Desk::new()?;
    let (one, two) = (desk.serve("one", &image(1)), desk.serve("two", &image(2)));
    let missing = format!("{}/nowhere:1", desk.registry.host());
    let words = [&format!("error: {missing}: ")[..], "1 of 3 images failed"];
    desk.fails(Exit::Failed, &["pull", &one, &missing, &two], &words)?;
    ensure!(desk.names()? == [one.clone(), two.clone()]);
    // A refusal says more than a failure does, whichever comes first.
    let words = ["must be sealed", "does not exist", "2 of 2 images failed"];
    desk.fails(Exit::Refused, &["pull", "--require", "sealed", &one, &missing], &words)?;
    desk.fails(Exit::Refused, &["pull", "--require", "sealed", &missing, &one], &words).map(drop)
}

#[test]
fn machines_get_a_document_for_each_image_and_a_line_for_each_error() -> Result<()> {
    let desk = Desk::new()?;
    let (one, two) = (desk.serve("one", &image(1)), desk.serve("two", &image(2)));
    let missing = format!("{}/nowhere:1", desk.registry.host());
    let output = desk.attempt(&["--json", "pull", &one, &missing, &two])?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let documents = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<serde_json::Value>();
    let names = documents.map(|value| Ok(value?["name"].clone())).collect::<Result<Vec<_>>>()?;
    ensure!(names == [one, two], "{names:?}");
    let lines = String::from_utf8(output.stderr)?;
    let errors = lines.lines().filter(|line| line.contains("\"error\"")).collect::<Vec<_>>();
    ensure!(errors.len() == 2 && errors[0].contains(&missing), "{errors:?}");
    Ok(())
}

/// So `pull SOURCE NAME` was written once.
#[test]
fn a_second_reference_is_no_name_and_who_meant_one_is_told_how_it_is_given() -> Result<()> {
    let desk = Desk::new()?;
    let source = desk.serve("one", &image(1));
    let name = format!("{}/prod/app:1", desk.registry.host());
    let hint = format!("`sealpack pull {source} --name {name}`");
    desk.fails(Exit::Failed, &["pull", &source, &name], &[&format!("error: {name}: "), &hint])?;
    ensure!(desk.names()? == std::slice::from_ref(&source), "another image has the name");
    desk.succeeds(&["pull", &source, "--name", &name])?;
    ensure!(desk.names()?.contains(&name));
    Ok(())
}

#[test]
fn a_name_is_for_one_source_and_two_sources_have_two_names() -> Result<()> {
    let desk = Desk::new()?;
    let (one, two) = (desk.serve("one", &image(1)), desk.serve("two", &image(2)));
    desk.fails(Exit::Usage, &["pull", &one, &two, "--name", "app"], &["several sources"])?;
    desk.fails(Exit::Usage, &["pull", &one, &format!("docker://{one}")], &["would both be", &one])?;
    ensure!(desk.registry.count("/v2/") == 0, "it was asked before the mistake was seen");
    Ok(())
}

#[test]
fn a_word_alone_is_no_target_of_a_copy() -> Result<()> {
    let desk = Desk::new()?;
    let source = desk.serve("one", &image(1));
    for word in ["app", "app:1", "localhost:5000"] {
        let words = [&format!("`oci:{word}`")[..], "docker://docker.io/library/"];
        desk.fails(Exit::Usage, &["copy", &source, word], &words)?;
    }
    desk.succeeds(&["copy", &source, "oci:app:1"]).map(drop)
}

#[test]
fn a_new_name_in_front_of_the_image_is_seen_as_that() -> Result<()> {
    let desk = Desk::new()?;
    let source = desk.serve("one", &image(1));
    desk.succeeds(&["pull", &source])?;
    let words = ["what is there comes first", &source];
    desk.fails(Exit::Failed, &["tag", "app:1", &source], &words)?;
    ensure!(desk.names()? == [source]);
    Ok(())
}
