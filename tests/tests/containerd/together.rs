//! Several clients at once, and others that work on the same store meanwhile.

use crate::{can_run, registry};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::run;
use sealpack_tests::containerd::{Containerd, Engine, Served, images};
use std::process::{Child, Output, Stdio};

/// Starts `ctr` once for each list of arguments, all at once, and answers with what each says.
fn side_by_side(containerd: &Containerd, commands: Vec<Vec<String>>) -> Result<Vec<String>> {
    let start = |arguments| -> Result<Child> {
        Ok(containerd.ctr(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    };
    let children: Vec<Child> = commands.into_iter().map(start).collect::<Result<_>>()?;
    let outputs: Vec<Output> =
        children.into_iter().map(Child::wait_with_output).collect::<std::io::Result<_>>()?;
    let said = |output: Output| {
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    };
    outputs.into_iter().map(said).collect()
}

/// Pulls and runs ten images with a common base; `meanwhile` is called again and again while both go on.
fn family(served: &Served, names: &[String], mut meanwhile: impl FnMut() -> Result<()> + Send) -> Result<()> {
    let containerd = served.containerd();
    let work = || -> Result<Vec<String>> {
        let pull = |name: &String| containerd.pull_arguments(name).into_iter().map(str::to_owned).collect();
        side_by_side(containerd, names.iter().map(pull).collect())?;
        let run = |(number, name): (usize, &String)| {
            containerd.run_arguments(&["--rm"], name, &format!("c{number}"), &["/bin/cat", "/number"])
        };
        side_by_side(containerd, names.iter().enumerate().map(run).collect())
    };
    let said = std::thread::scope(|scope| {
        let work = scope.spawn(work);
        while !work.is_finished() {
            meanwhile()?;
        }
        work.join().ok().context("a client panicked")?
    })?;
    let expected: Vec<String> = (0..images::FAMILY).map(|number| number.to_string()).collect();
    assert_eq!(said, expected);
    assert_eq!(containerd.snapshots()?.len(), images::FAMILY + 1, "the base is there once");
    assert_eq!(served.mounted()?.len(), images::FAMILY, "each image once");
    assert_eq!(served.packs()?.len(), images::FAMILY + 1, "the base's pack is everybody's");
    Ok(())
}

/// Ten images with a common base, by their names in a registry.
fn pushed(registry: &sealpack_tests::registry::Registry) -> Result<Vec<String>> {
    let push = |(number, image): (usize, sealpack_tests::images::Image)| {
        registry.push(&image, &format!("family:{number}"))?;
        Ok(format!("{}/family:{number}", registry.host()))
    };
    images::family()?.into_iter().enumerate().map(push).collect()
}

#[test]
fn ten_images_with_a_common_base_start_side_by_side() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let (served, names) = (Served::start(Engine::V2)?, pushed(&registry)?);
    let wait = || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        Ok(())
    };
    family(&served, &names, wait).with_context(|| served.printed())
}

#[test]
fn a_store_that_containerd_uses_is_pulled_into_and_collected_meanwhile() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let (served, names) = (Served::start(Engine::V1_7)?, pushed(&registry)?);
    let image = format!("{}/shell:1", registry.host());
    // It is built the first time.
    run(&mut served.sealpack(&["images"])?)?;
    let mut times = 0;
    let meanwhile = || {
        run(&mut served.sealpack(&["pull", "--objects", "packs", "--plain-http", &image])?)?;
        run(&mut served.sealpack(&["rm", &image])?)?;
        run(&mut served.sealpack(&["gc"])?)?;
        times += 1;
        Ok(())
    };
    family(&served, &names, meanwhile).with_context(|| served.printed())?;
    ensure!(times > 0, "nothing else was done meanwhile");
    run(&mut served.sealpack(&["fsck"])?)?;
    Ok(())
}

#[test]
fn what_several_clients_pull_at_once_is_there_once() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    for engine in Engine::ALL {
        let served = Served::start(engine)?;
        let containerd = served.containerd();
        let pull: Vec<String> = containerd.pull_arguments(&image).into_iter().map(str::to_owned).collect();
        side_by_side(containerd, vec![pull; 4]).with_context(|| served.printed())?;
        assert_eq!(containerd.snapshots()?.len(), 2, "{engine:?}");
        let run = |number| {
            containerd.run_arguments(&["--rm"], &image, &format!("c{number}"), &["/bin/cat", "greeting"])
        };
        let said = side_by_side(containerd, (0..4).map(run).collect()).with_context(|| served.printed())?;
        assert_eq!(said, ["hello from a layer"; 4]);
    }
    Ok(())
}

#[test]
fn a_pull_works_after_containerd_was_killed_in_the_middle_of_it() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let mut served = Served::start(Engine::V1_7)?;
    let mut interrupted = 0;
    for milliseconds in [30, 100, 200, 350] {
        let arguments = served.containerd().pull_arguments(&image);
        let mut pull =
            served.containerd().ctr(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        served.containerd_mut().kill()?;
        interrupted += usize::from(!pull.wait()?.success());
        served.containerd_mut().begin()?;
        let tried = || -> Result<String> {
            served.containerd().pull(&image)?;
            served.containerd().run(&image, "one", &["/bin/cat", "greeting"])
        };
        assert_eq!(tried().with_context(|| served.printed())?, "hello from a layer");
        served.containerd().said(["images", "remove", "--sync", &image])?;
    }
    ensure!(interrupted > 0, "no pull was interrupted: the moments are no moments of a pull");
    Ok(())
}
