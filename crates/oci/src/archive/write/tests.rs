use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::process::Command;

use sealpack_test_registry::{Image, ImageLayer};
use tempfile::TempDir;

use super::header::{Kind, header};
use super::*;
use crate::archive::{DockerArchive, OciArchive};
use crate::artifact::{Artifact, Part};
use crate::copy::Platforms;
use crate::image::resolve;
use crate::media_type::OCI_CONFIG;

const OPTIONS: CopyOptions = CopyOptions { platforms: Platforms::All, referrers: true };

/// An image in memory, with somebody's word about it.
struct Held {
    image: Image,
    /// What is given for the layers, where that is not what they are.
    layers: Option<Vec<u8>>,
    word: Artifact,
}

impl Held {
    fn new(first: &[u8]) -> Self {
        let image = Image::new("linux/amd64", vec![ImageLayer::gzip(first), ImageLayer::plain(b"second")]);
        let word = Artifact {
            artifact_type: "application/vnd.example.word".to_owned(),
            subject: Some(Descriptor::of(image.manifest_type, &image.manifest)),
            config: Part::new("application/vnd.example.word", *b"good"),
            layers: Vec::new(),
            annotations: [("by".to_owned(), "ann".to_owned())].into(),
        };
        Self { image, layers: None, word }
    }

    fn packed<'a>(&'a self, name: &'a str) -> Packed<'a> {
        Packed { source: self, name: Some(name) }
    }
}

impl ImageSource for Held {
    fn description(&self) -> String {
        "memory".to_owned()
    }

    fn root(&self) -> Result<(Descriptor, Vec<u8>)> {
        Ok((Descriptor::of(self.image.manifest_type, &self.image.manifest), self.image.manifest.clone()))
    }

    fn fetch(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let word = self.word.manifest();
        let all = [&self.image.manifest, &self.image.config, &word, &self.word.config.bytes];
        let found = all.into_iter().find(|bytes| Descriptor::of("", bytes).digest == descriptor.digest);
        Ok(found.expect("only what there is is asked for").clone())
    }

    fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        let mut all: Vec<&[u8]> = self.image.layers.iter().map(|layer| layer.blob.as_slice()).collect();
        all.extend([self.image.config.as_slice(), &self.word.config.bytes]);
        let found = all.into_iter().find(|bytes| Descriptor::of("", bytes).digest == descriptor.digest);
        let found = self.layers.as_deref().or(found).expect("only what there is is asked for");
        Ok(Box::new(std::io::Cursor::new(found[offset as usize..].to_vec())))
    }

    fn referrers(&self, subject: &Descriptor, _: Option<&str>) -> Result<Vec<Descriptor>> {
        let is_of = self.word.subject.as_ref().is_some_and(|of| of.digest == subject.digest);
        Ok(is_of.then(|| self.word.descriptor()).into_iter().collect())
    }

    fn default_name(&self) -> Option<Reference> {
        None
    }
}

fn directory() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("images.tar");
    (directory, path)
}

/// Names in the directory of the archive.
fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn long() -> Vec<u8> {
    (0..3_000_000_u32).map(|number| (number >> 8) as u8 ^ number as u8).collect()
}

#[test]
fn an_oci_archive_has_the_images_and_what_was_said_of_them_byte_for_byte() {
    let (kept, path) = directory();
    let images = [Held::new(&long()), Held::new(b"other")];
    let packed = [images[0].packed("r.lan/app:1"), images[1].packed("r.lan/app:2")];
    let saved = save(ArchiveForm::Oci, &path, &packed, &OPTIONS, &()).unwrap();
    assert_eq!((saved.manifests, saved.referrers, saved.blobs.sent), (2, 2, 6));
    assert_eq!(saved.size_bytes, fs::metadata(&path).unwrap().len());
    for (held, name) in images.iter().zip(["r.lan/app:1", "r.lan/app:2"]) {
        let source = OciArchive::open(&path, ImageChoice::Name(name.to_owned())).unwrap();
        assert_eq!(source.default_name().unwrap().to_string(), name);
        let resolved = resolve(&source, &"linux/amd64".parse().unwrap()).unwrap();
        assert_eq!(resolved.manifest_bytes, held.image.manifest);
        for (layer, expected) in resolved.layers.iter().zip(&held.image.layers) {
            let mut bytes = Vec::new();
            source.open(&layer.descriptor, 0).unwrap().read_to_end(&mut bytes).unwrap();
            assert!(bytes == expected.blob);
        }
        let said = source.referrers(&resolved.manifest, None).unwrap();
        assert_eq!(said, [held.word.descriptor()]);
        assert_eq!(source.fetch(&said[0]).unwrap(), held.word.manifest());
    }
    assert_eq!(names(&kept), ["images.tar"]);
}

#[test]
fn a_docker_archive_has_configs_and_bare_layers_each_once() {
    let (_kept, path) = directory();
    let held = Held::new(&long());
    let packed = [held.packed("docker.io/library/app:1"), held.packed("r.lan/app:2")];
    let saved = save(ArchiveForm::Docker, &path, &packed, &OPTIONS, &()).unwrap();
    assert_eq!((saved.referrers, saved.blobs.sent, saved.left_out.len()), (0, 2, 2));
    assert!(saved.left_out[0].problem.contains("has no place in a docker-archive"), "{saved:?}");
    let source = DockerArchive::open(&path, ArchiveChoice::Only).unwrap();
    assert_eq!(source.default_name().unwrap().to_string(), "docker.io/library/app:1");
    DockerArchive::open(&path, ArchiveChoice::Name("r.lan/app:2".parse().unwrap())).unwrap();
    let resolved = resolve(&source, &"linux/amd64".parse().unwrap()).unwrap();
    assert_eq!(resolved.config_bytes, held.image.config);
    for (layer, expected) in resolved.layers.iter().zip(&held.image.layers) {
        let mut bytes = Vec::new();
        source.open(&layer.descriptor, 0).unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == expected.tar);
    }
}

#[test]
fn the_same_images_make_the_same_bytes_and_tar_reads_them() {
    let (kept, path) = directory();
    let held = Held::new(&long());
    for form in [ArchiveForm::Oci, ArchiveForm::Docker] {
        let packed = [held.packed("r.lan/app:1")];
        save(form, &path, &packed, &OPTIONS, &()).unwrap();
        let first = fs::read(&path).unwrap();
        save(form, &path, &packed, &OPTIONS, &()).unwrap();
        assert!(fs::read(&path).unwrap() == first, "{form}");
        let to = kept.path().join(form.name());
        fs::create_dir(&to).unwrap();
        let unpacked = Command::new("tar").arg("-xf").arg(&path).arg("-C").arg(&to).output().unwrap();
        assert!(unpacked.status.success() && unpacked.stderr.is_empty(), "{unpacked:?}");
        let listed = if form == ArchiveForm::Oci { "index.json" } else { "manifest.json" };
        assert!(to.join(listed).is_file());
    }
}

#[test]
fn bytes_that_are_not_those_described_leave_what_was_there() {
    let (kept, path) = directory();
    fs::write(&path, "before").unwrap();
    for form in [ArchiveForm::Oci, ArchiveForm::Docker] {
        for wrong in [b"no layer at all".to_vec(), vec![0x1f, 0x8b, 8, 0, 1, 2, 3]] {
            let held = Held { layers: Some(wrong), ..Held::new(b"first") };
            let error = save(form, &path, &[held.packed("r.lan/app:1")], &OPTIONS, &()).unwrap_err();
            assert!(error.is_verification(), "{error}");
            assert_eq!(fs::read(&path).unwrap(), b"before");
            assert_eq!(names(&kept), ["images.tar"]);
        }
    }
}

#[test]
fn a_layer_that_unpacks_to_another_than_the_config_says_is_refused() {
    let (kept, path) = directory();
    let mut held = Held::new(b"first");
    let image = &mut held.image;
    let other = crate::hash::blob_digest(sealpack_format::Algorithm::Sha256, b"another").to_string();
    let mut config: serde_json::Value = serde_json::from_slice(&image.config).unwrap();
    config["rootfs"]["diff_ids"][0] = other.into();
    let config = config.to_string().into_bytes();
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["config"] = Descriptor::of(OCI_CONFIG, &config).to_json();
    (image.config, image.manifest) = (config, manifest.to_string().into_bytes());
    let error = save(ArchiveForm::Docker, &path, &[held.packed("a:1")], &OPTIONS, &()).unwrap_err();
    assert!(error.to_string().starts_with("what memory: sha256:"), "{error}");
    assert_eq!(names(&kept), Vec::<String>::new());
}

#[test]
fn names_that_would_hide_an_image_are_refused() {
    let (_kept, path) = directory();
    let [first, second] = [Held::new(b"1"), Held::new(b"2")];
    let problem =
        |images: &[Packed<'_>]| save(ArchiveForm::Oci, &path, images, &OPTIONS, &()).unwrap_err().to_string();
    assert!(
        problem(&[first.packed("a:1"), second.packed("a:1")]).ends_with("two of its images are called a:1")
    );
    assert!(problem(&[first.packed("a:1"), Packed { source: &second, name: None }]).contains("no name"));
    assert!(problem(&[]).contains("no image was given"));
}

#[test]
fn what_is_no_regular_file_is_never_replaced_and_two_do_not_write_one_archive() {
    let (kept, path) = directory();
    let held = Held::new(b"first");
    let attempt = |path: &Path| {
        save(ArchiveForm::Oci, path, &[held.packed("a:1")], &OPTIONS, &()).map_err(|error| error.to_string())
    };
    symlink("/dev/null", &path).unwrap();
    assert!(attempt(&path).unwrap_err().contains("no regular file"));
    assert!(attempt("/dev/null".as_ref()).unwrap_err().contains("no regular file"));
    assert!(attempt(&kept.path().join("nowhere/x.tar")).unwrap_err().contains("nowhere"));
    fs::remove_file(&path).unwrap();
    let writing = ArchiveFile::create(&path).unwrap();
    assert!(attempt(&path).unwrap_err().contains("another process is writing it"));
    drop(writing);
    // As somebody leaves it who is killed.
    let writing = ArchiveFile::create(&path).unwrap();
    let left = names(&kept);
    drop(writing);
    fs::write(kept.path().join(&left[0]), "half").unwrap();
    attempt(&path).unwrap();
    assert_eq!(names(&kept), ["images.tar"]);
}

#[test]
fn long_names_and_sizes_beyond_octal_are_in_the_headers() {
    let name = format!("blobs/sha512/{}", "a".repeat(128));
    let bytes = header(&name, Kind::File, 1 << 40);
    assert_eq!(bytes.len(), 3 * 512);
    let mut reader = sealpack_format::tar::Reader::new(sealpack_format::tar::Limits::default());
    let mut input = bytes.as_slice();
    loop {
        match reader.next(&mut input).unwrap() {
            sealpack_format::tar::Event::Member(member) => {
                assert_eq!((member.path.as_slice(), member.size), (name.as_bytes(), 1 << 40));
                return;
            }
            sealpack_format::tar::Event::NeedInput => panic!("no member in it"),
            _ => {}
        }
    }
}

#[test]
fn texts_of_archives_are_those_of_sources() {
    for text in ["oci-archive:a.tar", "oci-archive:a.tar:1.0", "docker-archive:a.tar:docker.io/library/a:1"] {
        assert_eq!(NewArchive::parse(text).unwrap().unwrap().to_string(), text);
    }
    let digest = format!("sha256:{}", "0".repeat(64));
    for text in [&format!("oci-archive:a@{digest}"), "docker-archive:a:@1", "oci-archive:", "oci-archive:a:"]
    {
        assert!(NewArchive::parse(text).unwrap().is_err(), "{text}");
    }
    assert!(NewArchive::parse("oci:a").is_none());
}
