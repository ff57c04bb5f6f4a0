//! What a text names: tags that look like digests, beginnings of digests, names with digests of other images.

use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Image, ImageLayer, Registry, digest_of};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::architecture;
use sealpack_tests::paths;
use sealpack_tests::program::Sealpack;
use sealpack_tests::refusal::Exit;
use std::fs;
use std::path::PathBuf;

/// A store with an image of somebody's, from somebody's registry, and a key.
struct Desk {
    node: Sealpack,
    registry: Registry,
    /// The digest of the image's manifest, in hexadecimal.
    hex: String,
    dir: tempfile::TempDir,
}

/// What everybody would call the image of production.
const PROD: &str = "registry.example.org/prod/app";

fn image(seed: u32) -> Image {
    let file = Entry::new("file", Member::File(seed.to_le_bytes().to_vec()));
    Image::new(&format!("linux/{}", architecture()), vec![ImageLayer::gzip(&archive(&[file]))])
}

/// An image whose digest begins with eight decimal digits, as a date does. Anybody can make one.
fn image_with_a_date() -> Result<Image> {
    let is_date = |image: &Image| digest_of(&image.manifest)[7..15].bytes().all(|byte| byte.is_ascii_digit());
    (0..4000).map(image).find(is_date).context("no image has such a digest")
}

impl Desk {
    fn new(image: &Image) -> Result<Self> {
        let (node, registry) = (Sealpack::new()?, Registry::start());
        registry.put_image("stranger/app", "1", image);
        let dir = tempfile::Builder::new().prefix("names-").tempdir_in(paths::fixtures())?;
        let desk = Self { node, registry, hex: digest_of(&image.manifest)[7..].to_owned(), dir };
        desk.node.run(["pull", &desk.name()])?;
        let [key, certificate] = [desk.path("key"), desk.path("crt")];
        desk.node.run(["key", "new", "--key", &key, "--cert", &certificate, "--subject", "test"])?;
        Ok(desk)
    }

    /// The name under which the store has it.
    fn name(&self) -> String {
        format!("{}/stranger/app:1", self.registry.host())
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// The verbs that name an image of the store, each with what it says where there is no such image.
    fn refuse_all(&self, image: &str, words: &str) -> Result<()> {
        let [key, certificate, out, mnt] = ["key", "crt", "out", "mnt"].map(|name| self.path(name));
        fs::create_dir_all(&mnt)?;
        fs::write(self.path("a.policy"), "policy_name=a policy_version=0.0.1\nDEFAULT action=DENY\n")?;
        let policy = self.path("a.policy");
        for arguments in [
            &["seal", "prepare", image, "--out", &out][..],
            &["seal", "attach", image, &mnt, "--cert", &certificate],
            &["seal", "push", image],
            &["policy", "new", "final", "--digests", image],
            &["policy", "check", &policy, image],
            &["tag", image, "prod"],
            &["rm", image],
            &["convert", image, "--to", "packs"],
            &["mount", image, &mnt],
            &["inspect", image],
            &["ls", image],
            &["cat", image, "/file"],
            &["diff", image, &self.name()],
        ] {
            // What attach reads first is not there.
            let words = if arguments[1] == "attach" { "statement.json" } else { words };
            self.node.refuses(Exit::Failed, arguments, &[words]).with_context(|| format!("{arguments:?}"))?;
        }
        let seal = ["seal", image, "--key", &key, "--cert", &certificate];
        let sealed = self.node.attempt(seal)?;
        ensure!(!sealed.status.success(), "{image} was sealed");
        let verified = self.node.attempt(["verify", image])?;
        ensure!(!verified.status.success(), "{image} was verified");
        Ok(())
    }
}

#[test]
fn a_tag_that_is_the_beginning_of_a_strangers_digest_names_no_image() -> Result<()> {
    let desk = Desk::new(&image(1))?;
    for digits in [8, 12, 40, 64] {
        let tag = format!("{PROD}:{}", &desk.hex[..digits]);
        desk.refuse_all(&tag, &format!("the store has no image {tag}"))?;
    }
    // Short ones, too.
    let tag = format!("app:{}", &desk.hex[..8]);
    desk.refuse_all(&tag, &format!("the store has no image docker.io/library/{tag}"))
}

#[test]
fn a_date_as_a_tag_names_no_image_whose_digest_begins_so() -> Result<()> {
    let desk = Desk::new(&image_with_a_date()?)?;
    let tag = format!("{PROD}:{}", &desk.hex[..8]);
    desk.refuse_all(&tag, &format!("the store has no image {tag}"))
}

#[test]
fn a_name_with_a_digest_means_its_own_repository_only() -> Result<()> {
    let desk = Desk::new(&image(1))?;
    for name in [format!("{PROD}@sha256:{}", desk.hex), format!("{PROD}:1@sha256:{}", desk.hex)] {
        desk.refuse_all(&name, &format!("the store has no image {name}"))?;
    }
    // In its own it is there, under whatever name.
    let own = desk.name();
    let own = own.trim_end_matches(":1");
    for name in [format!("{own}@sha256:{}", desk.hex), format!("{own}:2@sha256:{}", desk.hex)] {
        desk.node.run(["inspect", &name])?;
    }
    Ok(())
}

#[test]
fn another_algorithms_name_finds_no_sha_256_digest() -> Result<()> {
    let desk = Desk::new(&image(1))?;
    for (algorithm, digits) in [("sha512", 64), ("sha512", 12), ("sha384", 40)] {
        let text = format!("{algorithm}:{}", &desk.hex[..digits]);
        let words = format!("{text:?} names no image: a digest is sha256: and 8 to 64 digits");
        desk.node.refuses(Exit::Usage, ["inspect", &text], &[&words])?;
        desk.node.refuses(Exit::Usage, ["tag", &text, "prod"], &[&words])?;
        desk.node.refuses(Exit::Usage, ["verify", &text], &[&words])?;
    }
    for name in [format!("md5:{}", &desk.hex[..32]), format!("sha256.{}", desk.hex)] {
        desk.node.refuses(
            Exit::Failed,
            ["inspect", &name],
            &["the store has no image docker.io/library/"],
        )?;
    }
    Ok(())
}

#[test]
fn what_signs_allows_names_or_removes_takes_no_beginning_of_a_digest() -> Result<()> {
    let desk = Desk::new(&image(1))?;
    let [key, certificate, out] = ["key", "crt", "out"].map(|name| desk.path(name));
    for digits in [8, 63] {
        for text in [desk.hex[..digits].to_owned(), format!("sha256:{}", &desk.hex[..digits])] {
            for arguments in [
                &["seal", &text, "--key", &key, "--cert", &certificate][..],
                &["seal", "prepare", &text, "--out", &out],
                &["seal", "push", &text],
                &["policy", "new", "final", "--digests", &text],
                &["policy", "new", "host", "--image", &text],
                &["tag", &text, "prod"],
                &["rm", &text],
                &["convert", &text, "--to", "packs"],
            ] {
                let words = format!("{text} is only the beginning of a digest");
                desk.node.refuses(Exit::Failed, arguments, &[&words])?;
            }
            // What only looks does.
            desk.node.run(["inspect", &text])?;
        }
    }
    desk.node.run(["tag", &desk.hex, "prod"])?;
    Ok(())
}

/// Gives the store a further image whose digest begins as the other one does. That costs a stranger a minute.
fn add_a_twin(desk: &Desk) -> Result<()> {
    let refs = desk.node.store().join("refs");
    let files: Vec<PathBuf> = fs::read_dir(&refs)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    let [file] = files.as_slice() else { anyhow::bail!("not one name: {files:?}") };
    let twin = format!("{}{}", &desk.hex[..8], "0".repeat(56));
    let record = fs::read_to_string(file)?.replace(&desk.hex, &twin).replace(&desk.name(), "twin");
    Ok(fs::write(refs.join("twin.json"), record)?)
}

#[test]
fn a_digest_that_begins_two_images_is_an_error() -> Result<()> {
    let desk = Desk::new(&image(1))?;
    add_a_twin(&desk)?;
    let [key, certificate, mnt] = ["key", "crt", "mnt"].map(|name| desk.path(name));
    fs::create_dir(&mnt)?;
    for text in [desk.hex[..8].to_owned(), format!("sha256:{}", &desk.hex[..8])] {
        for arguments in [
            &["inspect", &text][..],
            &["mount", &text, &mnt],
            &["verify", &text],
            &["rm", &text],
            &["tag", &text, "prod"],
            &["policy", "new", "final", "--digests", &text],
            &["seal", &text, "--key", &key, "--cert", &certificate],
        ] {
            let words = format!("{text} is the beginning of several images' digests");
            desk.node.fails(Exit::Failed, arguments, &[&words])?;
        }
    }
    desk.node.run(["inspect", &desk.hex[..9]])?;
    Ok(())
}

/// Somebody who asks for an image by name and digest, and has it in the store, gets nothing else.
#[test]
fn no_image_gets_a_name_with_the_digest_of_another() -> Result<()> {
    let desk = Desk::new(&image(1))?;
    let digest = format!("sha256:{}", "a".repeat(64));
    let name = format!("{PROD}@{digest}");
    let words = format!("{name} names the image of its digest, and this is sha256:{}", desk.hex);
    desk.node.refuses(Exit::Refused, ["tag", &desk.name(), &name], &[&words])?;
    let pulled = desk.node.attempt(["pull", &desk.name(), "--name", &name])?;
    ensure!(pulled.status.code() == Some(3), "a pull gave a name with another image's digest");
    desk.node.refuses(Exit::Failed, ["inspect", &name], &["the store has no image"])?;
    let own = format!("{PROD}@sha256:{}", desk.hex);
    desk.node.run(["tag", &desk.name(), &own])?;
    desk.node.run(["inspect", &own])?;
    Ok(())
}
