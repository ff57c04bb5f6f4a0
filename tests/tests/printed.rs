//! What commands print, to the letter, so that whoever moves code that prints sees what became of it. Other tests say what
//! matters in it; a change that is meant is made here too.

use anyhow::{Context, Result};
use insta::assert_snapshot;
use sealpack_tests::command::is_root;
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::{Packing, architecture};
use sealpack_tests::program::Sealpack;
use sealpack_tests::{images, paths, skip};
use std::fs;

/// A program with a store of its own, and a directory for a test's files, in which it runs.
struct Desk {
    sealpack: Sealpack,
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Result<Self> {
        Ok(Self { sealpack: Sealpack::new()?, dir: tempfile::tempdir_in(paths::fixtures())? })
    }

    /// With an image in the layout `layout`, of two layers uncompressed so that `mark` decides all digests. What is
    /// mounted anywhere on the machine is not collected, so an image that is mounted has a mark of its own.
    fn with_layout(mark: u8) -> Result<Self> {
        let desk = Self::new()?;
        let file = |path: &str, seed: u8| Entry::new(path, Member::File(vec![seed; 5000])).mode(0o755);
        let layers = [
            archive(&[Entry::new("usr/", Member::Directory), file("usr/common", 1)]),
            archive(&[file("usr/own", mark), Entry::new("link", Member::Symlink("usr".to_owned()))]),
        ];
        images::at(&desk.dir.path().join("layout"), &layers.map(|layer| (layer, Packing::Plain)))?;
        Ok(desk)
    }

    /// And with that image in the store.
    fn with_image(mark: u8) -> Result<Self> {
        let desk = Self::with_layout(mark)?;
        desk.shows(&[&["--quiet", "pull", "oci:layout", "--name", "one"]])?;
        Ok(desk)
    }

    /// The commands as they are typed, each with what it prints and, where it fails, with its message and exit status.
    /// Paths and times are replaced by what they are. What a command says while it succeeds is left out: layers go in
    /// parallel, and users see less than root.
    fn shows(&self, commands: &[&[&str]]) -> Result<String> {
        let mut shown = String::new();
        for arguments in commands {
            let output = self.sealpack.command(*arguments).current_dir(self.dir.path()).output()?;
            shown += &format!("$ sealpack {}\n", arguments.join(" "));
            shown += &String::from_utf8(output.stdout)?;
            match output.status.code().context("a signal ended it")? {
                0 => {}
                status => shown += &format!("{}exit status {status}\n", String::from_utf8(output.stderr)?),
            }
        }
        let directory = self.dir.path().to_str().context("an odd path")?;
        let store = self.sealpack.store();
        let store = store.to_str().context("an odd path")?;
        Ok(without_times(&shown.replace(directory, "[DIR]").replace(store, "[STORE]")))
    }
}

/// `text` with a word for each time.
fn without_times(text: &str) -> String {
    const FORMS: [&str; 3] = ["0000-00-00T00:00:00Z", "0000-00-00 00:00:00", "0000-00-00"];
    let is_of = |form: &str, text: &str| {
        form.len() <= text.len()
            && form
                .bytes()
                .zip(text.bytes())
                .all(|(form, byte)| if form == b'0' { byte.is_ascii_digit() } else { form == byte })
    };
    let (mut rest, mut without) = (text, String::new());
    while let Some(character) = rest.chars().next() {
        let time = FORMS.iter().find(|form| is_of(form, rest));
        without += time.map_or(&rest[..character.len_utf8()], |_| "[TIME]");
        rest = &rest[time.map_or(character.len_utf8(), |form| form.len())..];
    }
    without
}

/// `text` with a word for each number that is as long as a serial number or a digest.
fn without_numbers(text: &str) -> String {
    let is_digit = |character: char| character.is_ascii_hexdigit();
    let mut without = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|it| !is_digit(it)).unwrap_or(rest.len()));
        without += if digits.len() >= 38 { "[NUMBER]" } else { digits };
        let (others, after) = after.split_at(after.find(is_digit).unwrap_or(after.len()));
        without += others;
        rest = after;
    }
    without
}

#[test]
fn a_pull_and_what_is_told_of_its_image() -> Result<()> {
    if architecture() != "amd64" {
        skip("the image that this prints is one for amd64");
        return Ok(());
    }
    let desk = Desk::with_layout(2)?;
    let shown =
        desk.shows(&[&["pull", "oci:layout", "--name", "one"], &["pull", "oci:layout", "--name", "one"]])?;
    assert_snapshot!(shown, @r##"
    $ sealpack pull oci:layout --name one
    docker.io/library/one:latest
      manifest        sha256:59198cc9b1e1738c152c1019801f299c9d410b0b250e7c877de187108008e3c7
      metadata image  843879a1cc7d73b25c5ce4eca41acac0c608ec8223b3cb872dd8d06194564deb
      2 layers (0 known), 2 objects added (10.0 kB), 0 were there
    $ sealpack pull oci:layout --name one
    docker.io/library/one:latest
      manifest        sha256:59198cc9b1e1738c152c1019801f299c9d410b0b250e7c877de187108008e3c7
      metadata image  843879a1cc7d73b25c5ce4eca41acac0c608ec8223b3cb872dd8d06194564deb
      2 layers (2 known), 0 objects added (0 B), 0 were there
    "##);
    let shown = desk.shows(&[&["images"], &["inspect", "one"], &["history", "one"]])?;
    // Where there is fs-verity, it has another.
    let shown = shown
        .replace("none (the filesystem has no fs-verity)", "[INTEGRITY]")
        .replace("integrity       fs-verity", "integrity       [INTEGRITY]");
    assert_snapshot!(shown, @r##"
    $ sealpack images
    NAME                          MANIFEST      PLATFORM     KEPT IN  PULLED (UTC)         SIZE     OWN
    docker.io/library/one:latest  59198cc9b1e1  linux/amd64  files    [TIME]  10.0 kB  10.0 kB
    $ sealpack inspect one
    name            docker.io/library/one:latest
    platform        linux/amd64
    manifest        sha256:59198cc9b1e1738c152c1019801f299c9d410b0b250e7c877de187108008e3c7
    config          sha256:90ac8174921a78f4106489f8dd097243f7a7038ba3fcfe979eba98b88d76744a
    metadata image  843879a1cc7d73b25c5ce4eca41acac0c608ec8223b3cb872dd8d06194564deb (fs-verity sha256, 16.4 kB)
    objects         2, 10.0 kB
    integrity       [INTEGRITY]
    layer 1         sha256:91f93ff9bf073e562ee29004aa3b988713ac0e4742a190b6262e8f6e7a86f1dd (7.2 kB as sha256:91f93ff9bf073e562ee29004aa3b988713ac0e4742a190b6262e8f6e7a86f1dd)
    layer 2         sha256:89e78e54ae1adc3b90ecf182646ec824aa23cd86f0e983159bc8faa15c0c0d92 (7.2 kB as sha256:89e78e54ae1adc3b90ecf182646ec824aa23cd86f0e983159bc8faa15c0c0d92)
    $ sealpack history one
    MANIFEST                                                                 PLATFORM     KEPT IN  EPOCH  PULLED (UTC)
    sha256:59198cc9b1e1738c152c1019801f299c9d410b0b250e7c877de187108008e3c7  linux/amd64  files    -      [TIME]
    "##);
    let shown = desk.shows(&[
        &["ls", "-l", "one", "/usr"],
        &["tag", "one", "two:2"],
        &["rm", "one", "two:2"],
        &["gc"],
    ])?;
    assert_snapshot!(shown, @r##"
    $ sealpack ls -l one /usr
    -rwxr-xr-x   1     0     0       5000 [TIME] /usr/common
    -rwxr-xr-x   1     0     0       5000 [TIME] /usr/own
    $ sealpack tag one two:2
    docker.io/library/two:2
    $ sealpack rm one two:2
    docker.io/library/one:latest
    docker.io/library/two:2
    $ sealpack gc
    removed 2 objects (10.0 kB), 1 metadata image (16.4 kB), 2 layer records (235 B), 2 blobs (892 B)
    "##);
    Ok(())
}

#[test]
fn a_pull_into_packs_and_its_image() -> Result<()> {
    if architecture() != "amd64" {
        skip("the image that this prints is one for amd64");
        return Ok(());
    }
    let desk = Desk::with_layout(2)?;
    let shown = desk.shows(&[
        &["pull", "--objects", "packs", "oci:layout", "--name", "one"],
        &["images"],
        &["inspect", "one"],
    ])?;
    assert_snapshot!(shown, @r##"
    $ sealpack pull --objects packs oci:layout --name one
    docker.io/library/one:latest
      manifest        sha256:59198cc9b1e1738c152c1019801f299c9d410b0b250e7c877de187108008e3c7
      metadata image  843879a1cc7d73b25c5ce4eca41acac0c608ec8223b3cb872dd8d06194564deb
      2 layers (0 known), 2 packs added (49.2 kB), 0 were there
    $ sealpack images
    NAME                          MANIFEST      PLATFORM     KEPT IN  PULLED (UTC)         SIZE     OWN
    docker.io/library/one:latest  59198cc9b1e1  linux/amd64  packs    [TIME]  49.2 kB  49.2 kB
    $ sealpack inspect one
    name            docker.io/library/one:latest
    platform        linux/amd64
    manifest        sha256:59198cc9b1e1738c152c1019801f299c9d410b0b250e7c877de187108008e3c7
    config          sha256:90ac8174921a78f4106489f8dd097243f7a7038ba3fcfe979eba98b88d76744a
    metadata image  843879a1cc7d73b25c5ce4eca41acac0c608ec8223b3cb872dd8d06194564deb (fs-verity sha256, 16.4 kB)
    objects         2 in 2 packs, 49.2 kB
    layer 1         sha256:91f93ff9bf073e562ee29004aa3b988713ac0e4742a190b6262e8f6e7a86f1dd (7.2 kB as sha256:91f93ff9bf073e562ee29004aa3b988713ac0e4742a190b6262e8f6e7a86f1dd)
      pack          cdde3d93a4971befb20a7776011557e4570f1fd7e6d2c0fb40efa66f451461ea (24.6 kB)
    layer 2         sha256:89e78e54ae1adc3b90ecf182646ec824aa23cd86f0e983159bc8faa15c0c0d92 (7.2 kB as sha256:89e78e54ae1adc3b90ecf182646ec824aa23cd86f0e983159bc8faa15c0c0d92)
      pack          27a8f24ff8e2d08415f454a96eef81d2261f776fd8bd6efd12fd8a130ed2078f (24.6 kB)
    "##);
    Ok(())
}

#[test]
fn a_mount_and_its_end() -> Result<()> {
    if !is_root() {
        skip("mounting needs root");
        return Ok(());
    }
    let desk = Desk::with_image(3)?;
    fs::create_dir(desk.dir.path().join("mnt"))?;
    let mount = desk.shows(&[&["mount", "one", "mnt"]])?;
    let twice = desk.shows(&[&["mount", "one", "mnt"]])?;
    let end = desk.shows(&[&["umount", "mnt"], &["umount", "mnt"], &["mount", "one", "none"]])?;
    assert_snapshot!(twice, @r##"
    $ sealpack mount one mnt
    error: [DIR]/mnt already has an image mounted: a9142115021bd7e89e29b2e8a3dcccd5afb67b651f430cb8ec261b27d94e761e
    exit status 1
    "##);
    assert_snapshot!(end, @r##"
    $ sealpack umount mnt
    [DIR]/mnt: unmounted
    $ sealpack umount mnt
    error: [DIR]/mnt is not a mount point
    exit status 1
    $ sealpack mount one none
    error: the target none: No such file or directory (os error 2)
    exit status 1
    "##);
    if mount.contains("verified") {
        skip("in part: there is fs-verity here");
        return Ok(());
    }
    assert_snapshot!(mount, @r##"
    $ sealpack mount one mnt
    [DIR]/mnt: read-only, plain (neither the metadata image nor the objects have fs-verity)
    "##);
    Ok(())
}

#[test]
fn a_trust_store_and_what_is_in_it() -> Result<()> {
    let desk = Desk::new()?;
    let trust = ["--trust", "trust.d", "trust"];
    let with = |arguments: &[&'static str]| [&trust[..], arguments].concat();
    let key = ["key", "new", "--type", "p256", "--subject", "one", "--key", "one.key", "--cert", "one.crt"];
    let shown = desk.shows(&[
        &with(&["list"]),
        &key,
        &with(&["add", "publisher", "--cert", "one.crt"]),
        &with(&["list"]),
        &with(&["add", "publisher", "--cert", "one.crt"]),
        &with(&["remove", "nobody"]),
    ])?;
    assert_snapshot!(without_numbers(&shown), @r##"
    $ sealpack --trust trust.d trust list
    error: there is no trust store trust.d
    hint: `sealpack trust add` makes one
    exit status 1
    $ sealpack key new --type p256 --subject one --key one.key --cert one.crt
    ECDSA P-256 key in one.key, certificate "CN=one" in one.crt
    $ sealpack --trust trust.d trust add publisher --cert one.crt
    publisher: "CN=one" is trusted for packs, statements in trust.d
    $ sealpack --trust trust.d trust list
    NAME       FOR               SUBJECT  SHA-256                                                           EXPIRES               STATE  KERNEL
    publisher  packs,statements  CN=one   [NUMBER]  [TIME]  good   not in the kernel
    $ sealpack --trust trust.d trust add publisher --cert one.crt
    publisher: "CN=one" is trusted for packs, statements in trust.d
    $ sealpack --trust trust.d trust remove nobody
    error: the trust store has no certificate called nobody
    hint: `sealpack trust list` shows what it has
    exit status 1
    "##);
    Ok(())
}

#[test]
fn what_a_policy_is_predicted_to_allow() -> Result<()> {
    let desk = Desk::with_image(2)?;
    fs::write(
        desk.dir.path().join("site.policy"),
        "policy_name=site policy_version=1.0.0\nDEFAULT action=ALLOW\nDEFAULT op=EXECUTE action=DENY\n\
         op=EXECUTE dmverity_signature=TRUE action=ALLOW\n",
    )?;
    fs::write(
        desk.dir.path().join("bad.policy"),
        "policy_name=site policy_version=1.0.0\nop=EXECUTE action=PERHAPS\n",
    )?;
    let shown = desk.shows(&[
        &["policy", "check", "site.policy", "one", "--assume", "files"],
        &["policy", "check", "site.policy", "one", "--assume", "sealed"],
        &["policy", "show", "site.policy"],
        &["policy", "check", "bad.policy", "one"],
        &["policy", "load", "site.policy"],
    ])?;
    assert_snapshot!(shown, @r##"
    $ sealpack policy check site.policy one --assume files
    docker.io/library/one:latest: objects in files, taken to have fs-verity
    EXECUTE: 0 allowed, 2 denied

    denied by DEFAULT op=EXECUTE action=DENY: no rule matches: it is on no dm-verity device
      /usr/common (other)
      /usr/own (other)
    error: policy site would deny 2 of 2 files of docker.io/library/one:latest
    hint: allow the files' digests with `sealpack policy new --digests`, or keep the image in packs and seal it; --assume shows what either gives
    exit status 3
    $ sealpack policy check site.policy one --assume sealed
    docker.io/library/one:latest: objects in packs, all signatures taken to be accepted
    EXECUTE: 2 allowed, 0 denied
    $ sealpack policy show site.policy
    policy_name=site policy_version=1.0.0
    DEFAULT action=ALLOW
    DEFAULT op=EXECUTE action=DENY
    op=EXECUTE dmverity_signature=TRUE action=ALLOW
    $ sealpack policy check bad.policy one
    error: bad.policy, line 2, column 12: `action=PERHAPS` where `action=ALLOW` or `action=DENY` must be: a rule ends with its action, in capitals
    hint: the kernel would refuse this policy with EBADMSG
    exit status 1
    $ sealpack policy load site.policy
    error: site.policy is not signed
    hint: the kernel takes signed policies only: `sealpack policy sign` it
    exit status 2
    "##);
    Ok(())
}

#[test]
fn errors_with_what_to_do_about_them() -> Result<()> {
    let desk = Desk::new()?;
    let shown = desk.shows(&[
        &["images"],
        &["inspect", "one"],
        &["mount", "one", "mnt"],
        &["history", "one"],
        &["pull", "oci:nowhere"],
        &["pull", "One"],
        &["pull", "docker-archive:nowhere.tar", "--name", "one"],
        &["umount", "."],
        &["fsck"],
    ])?;
    assert_snapshot!(shown, @r##"
    $ sealpack images
    NAME  MANIFEST  PLATFORM  KEPT IN  PULLED (UTC)  SIZE  OWN
    $ sealpack inspect one
    error: there is no store at [STORE]: the first pull makes one
    exit status 1
    $ sealpack mount one mnt
    error: there is no store at [STORE]: the first pull makes one
    exit status 1
    $ sealpack history one
    error: there is no store at [STORE]: the first pull makes one
    exit status 1
    $ sealpack pull oci:nowhere
    error: cannot open nowhere/oci-layout: No such file or directory (os error 2)
    hint: an OCI layout is a directory with the files oci-layout and index.json; is the path spelt right?
    exit status 1
    $ sealpack pull One
    error: invalid value 'One' for '[SOURCE]...': "One" is not an image reference: the name must be in lower case; is "one" meant?

    For more information, try '--help'.
    exit status 2
    $ sealpack pull docker-archive:nowhere.tar --name one
    error: cannot open nowhere.tar: No such file or directory (os error 2)
    exit status 1
    $ sealpack umount .
    error: [DIR] is not a mount point
    exit status 1
    $ sealpack fsck
    error: there is no store at [STORE]: the first pull makes one
    exit status 1
    "##);
    let shown = Desk::with_image(2)?.shows(&[
        &["inspect", "two"],
        &["mount", "two", "mnt"],
        &["rollback", "one"],
        &["ls", "one", "/nowhere"],
        &["cat", "one", "/usr"],
        &["rm", "two"],
        &["convert", "two", "--to", "packs"],
    ])?;
    assert_snapshot!(shown, @r##"
    $ sealpack inspect two
    error: the store has no image docker.io/library/two:latest
    hint: `sealpack images` lists what it has; `sealpack pull` brings more
    exit status 1
    $ sealpack mount two mnt
    error: the store has no image docker.io/library/two:latest
    hint: `sealpack images` lists what it has; `sealpack pull` brings more
    exit status 1
    $ sealpack rollback one
    error: no image with a seal is in the history of docker.io/library/one:latest
    hint: `sealpack history` lists what is; --to takes any of it that has a seal
    exit status 1
    $ sealpack ls one /nowhere
    error: one has no file "/nowhere"
    exit status 1
    $ sealpack cat one /usr
    error: "/usr" is a directory, not a file
    exit status 1
    $ sealpack rm two
    error: the store has no image docker.io/library/two:latest
    hint: `sealpack images` lists what it has; `sealpack pull` brings more
    exit status 1
    $ sealpack convert two --to packs
    error: the store has no image docker.io/library/two:latest
    hint: `sealpack images` lists what it has; `sealpack pull` brings more
    exit status 1
    "##);
    Ok(())
}
