//! What a kubelet asks of containerd, from a pull to a removal.

use crate::{can_run, registry};
use anyhow::{Context, Result, ensure};
use sealpack_test_cri::{Client, messages::UInt64Value};
use sealpack_tests::containerd::{Containerd, Enclosure, Engine, Served, Setting, images};
use sealpack_tests::registry::Registry;
use std::time::{Duration, Instant};

/// How often containerd asks snapshotters what they use is every ten seconds; and then some for a busy machine.
const COLLECTED_WITHIN: Duration = Duration::from_secs(60);

fn connect(containerd: &Containerd) -> Result<Client> {
    let enclosure = containerd.enclosure();
    Client::connect(&containerd.socket(), &format!("/{}", enclosure.name()), &enclosure.data("logs"))
}

fn pause(registry: &Registry) -> String {
    format!("{}/{}", registry.host(), images::PAUSE)
}

/// Goes the whole way, and leaves nothing.
fn live(containerd: &Containerd, registry: &Registry) -> Result<()> {
    let mut client = connect(containerd)?;
    let image = format!("{}/shell:1", registry.host());
    let reference = client.pull(&image)?;
    ensure!(reference.contains("sha256:"), "{reference}");
    let pod = client.run_pod("one")?;
    let container = client.create(&pod, "shell", &image, &["/bin/busybox", "sleep", "3600"])?;
    client.start(&container)?;
    let script = "cat /greeting; echo odd >&2; echo 1 >/new; exit 3";
    let said = client.execute(&container, &["/bin/sh", "-c", script])?;
    assert_eq!(String::from_utf8_lossy(&said.stdout), "hello from a layer\n");
    assert_eq!(String::from_utf8_lossy(&said.stderr), "odd\n");
    assert_eq!(said.exit_code, 3);
    figures(&mut client, &container)?;
    client.remove(&container)?;
    client.remove_pod(&pod)?;
    client.remove_image(&image)?;
    client.remove_image(&pause(registry))
}

/// What containerd tells of a container that has written a file, and of all images.
fn figures(client: &mut Client, container: &str) -> Result<()> {
    let deadline = Instant::now() + COLLECTED_WITHIN;
    loop {
        let stats = client.stats(container)?;
        let memory = stats.memory.and_then(|memory| memory.working_set_bytes);
        let written = stats.writable_layer.and_then(|layer| layer.inodes_used);
        let images = client.image_filesystem()?;
        let used = images.used_bytes.context("how much images take is not told")?.value;
        let mountpoint = images.filesystem.context("which filesystem is not told")?.mountpoint;
        ensure!(!mountpoint.is_empty(), "images are on no filesystem");
        let is_told = |value: Option<_>| value.is_some_and(|value: UInt64Value| value.value > 0);
        if is_told(memory) && is_told(written) && used > 0 {
            // A busybox of 2 MB in two images, and no more.
            ensure!(used < 16 << 20, "images take {used} bytes");
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "memory {memory:?}, inodes written {written:?}, images {used}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn stock(engine: Engine) -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let containerd = Containerd::start(engine, Setting::stock("overlayfs").pause(&pause(&registry)))?;
    live(&containerd, &registry).with_context(|| containerd.printed())
}

#[test]
fn pods_live_on_containerd_1_6_with_its_own_snapshotter() -> Result<()> {
    stock(Engine::V1_6)
}

#[test]
fn pods_live_on_containerd_1_7_with_its_own_snapshotter() -> Result<()> {
    stock(Engine::V1_7)
}

#[test]
fn pods_live_on_containerd_2_with_its_own_snapshotter() -> Result<()> {
    stock(Engine::V2)
}

fn start(engine: Engine, registry: &Registry) -> Result<Served> {
    Served::start_in(Enclosure::new()?, engine, &pause(registry))
}

fn printed(served: &Served) -> String {
    format!("{}\n{}", served.printed(), served.containerd().printed())
}

fn served(engine: Engine) -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let served = start(engine, &registry)?;
    live(served.containerd(), &registry).with_context(|| printed(&served))?;
    // Again: what is left of the first time is in nobody's way.
    live(served.containerd(), &registry).with_context(|| printed(&served))
}

#[test]
fn pods_live_on_containerd_1_6() -> Result<()> {
    served(Engine::V1_6)
}

#[test]
fn pods_live_on_containerd_1_7() -> Result<()> {
    served(Engine::V1_7)
}

#[test]
fn pods_live_on_containerd_2() -> Result<()> {
    served(Engine::V2)
}

/// That a kubelet is told why a pod does not get its image.
fn is_refused(engine: Engine) -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let served = start(engine, &registry)?;
    let mut client = connect(served.containerd())?;
    let image = format!("{}/shell:1", registry.host());
    let rules = format!("[[namespace]]\nprefix = \"{}\"\nrequire = \"sealed\"\n", registry.host());
    served.set_rules(&rules)?;
    let refused = format!("{:#}", client.pull(&image).err().context("it was pulled without a seal")?);
    ensure!(refused.contains("shell:1") && refused.contains("no seal"), "{refused}");
    // An image that was there before the rule is refused when a container is made of it.
    served.set_rules("")?;
    client.pull(&image)?;
    let pod = client.run_pod("one")?;
    served.set_rules(&rules)?;
    let made = client.create(&pod, "shell", &image, &["/bin/true"]);
    let refused = format!("{:#}", made.err().context("its container was made without a seal")?);
    ensure!(refused.contains("shell:1") && refused.contains("no seal"), "{refused}");
    served.set_rules("")?;
    let container = client.create(&pod, "shell", &image, &["/bin/true"])?;
    client.start(&container)?;
    client.remove(&container)?;
    client.remove_pod(&pod)
}

#[test]
fn a_kubelet_of_containerd_1_7_is_told_why_an_image_is_refused() -> Result<()> {
    is_refused(Engine::V1_7)
}

#[test]
fn a_kubelet_of_containerd_2_is_told_why_an_image_is_refused() -> Result<()> {
    is_refused(Engine::V2)
}

#[test]
fn a_pod_goes_on_while_everything_is_killed_and_begun_again() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let mut served = start(Engine::V2, &registry)?;
    let image = format!("{}/shell:1", registry.host());
    let mut client = connect(served.containerd())?;
    client.pull(&image)?;
    let pod = client.run_pod("one")?;
    let container = client.create(&pod, "shell", &image, &["/bin/busybox", "sleep", "3600"])?;
    client.start(&container)?;
    served.kill()?;
    served.containerd_mut().kill()?;
    served.begin()?;
    served.containerd_mut().begin()?;
    let mut client = connect(served.containerd())?;
    let said = client.execute(&container, &["/bin/cat", "/greeting"])?;
    assert_eq!(String::from_utf8_lossy(&said.stdout), "hello from a layer\n");
    let another = client.create(&pod, "another", &image, &["/bin/true"])?;
    client.start(&another)?;
    client.remove(&another)?;
    client.remove(&container)?;
    client.remove_pod(&pod)
}
