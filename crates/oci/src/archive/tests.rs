use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use sealpack_test_registry::{Image, ImageLayer, digest_of, gzip};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::archive::ArchiveChoice;
use crate::error::{Error, Result};
use crate::image::resolve;
use crate::layout::ImageChoice;
use crate::media_type::Compression;
use crate::transport::ImageSource;

/// A tar file, member by member.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn member(&mut self, name: &str, kind: u8, link: &str, bytes: &[u8]) -> &mut Self {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, name.as_bytes());
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", bytes.len()).as_bytes());
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(header);
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        self.member(name, b'0', "", bytes)
    }

    fn link(&mut self, name: &str, target: &str) -> &mut Self {
        self.member(name, b'2', target, b"")
    }

    fn finish(&self) -> Vec<u8> {
        [self.0.as_slice(), &[0; 1024]].concat()
    }
}

/// An archive in a file `My-App.tar`.
struct Made(TempDir);

impl Made {
    fn new(bytes: &[u8]) -> Self {
        let made = Self(TempDir::new().unwrap());
        fs::write(made.path(), bytes).unwrap();
        made
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("My-App.tar")
    }

    fn docker(&self, choice: ArchiveChoice) -> Result<DockerArchive> {
        DockerArchive::open(&self.path(), choice)
    }

    fn oci(&self, choice: ImageChoice) -> Result<OciArchive> {
        OciArchive::open(&self.path(), choice)
    }
}

fn image() -> Image {
    // Longer than what is read at once, so that members lie across chunks.
    let big: Vec<u8> = (0..3_000_000_u32).map(|number| (number >> 8) as u8 ^ number as u8).collect();
    Image::new("linux/amd64", vec![ImageLayer::plain(&big), ImageLayer::gzip(b"second")])
}

fn amd64() -> crate::platform::Platform {
    "linux/amd64".parse().unwrap()
}

fn read(source: &dyn ImageSource, layer: usize, offset: u64) -> Vec<u8> {
    let resolved = resolve(source, &amd64()).unwrap();
    let mut bytes = Vec::new();
    source.open(&resolved.layers[layer].descriptor, offset).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn oci_tar(image: &Image) -> Tar {
    let entry = json!({"mediaType": image.manifest_type, "digest": digest_of(&image.manifest),
        "size": image.manifest.len(), "annotations": {"org.opencontainers.image.ref.name": "1.0"}});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    let mut tar = Tar::default();
    tar.member("./blobs/", b'5', "", b"");
    let blobs =
        [&image.manifest, &image.config].into_iter().chain(image.layers.iter().map(|layer| &layer.blob));
    for bytes in blobs {
        tar.file(&format!("./blobs/{}", digest_of(bytes).replace(':', "/")), bytes);
    }
    tar.file("./index.json", index.as_bytes()).file("./oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    tar
}

/// What `docker save` writes of `image`, with its layers bare.
fn docker_tar(image: &Image, names: &[&str]) -> Tar {
    let mut tar = Tar::default();
    tar.file("config.json", &image.config);
    tar.file("a/layer.tar", &image.layers[0].tar);
    tar.file("b/layer.tar", &image.layers[1].tar);
    let manifest =
        json!([{"Config": "config.json", "RepoTags": names, "Layers": ["a/layer.tar", "b/layer.tar"]}]);
    tar.file("manifest.json", manifest.to_string().as_bytes());
    tar
}

#[test]
fn an_oci_archive_is_read_in_place() {
    let image = image();
    let made = Made::new(&oci_tar(&image).finish());
    let source = made.oci(ImageChoice::Only).unwrap();
    assert_eq!(resolve(&source, &amd64()).unwrap().manifest_bytes, image.manifest);
    assert_eq!(read(&source, 0, 0), image.layers[0].blob);
    assert_eq!(read(&source, 0, 2_000_000), image.layers[0].blob[2_000_000..]);
    assert_eq!(read(&source, 1, 0), image.layers[1].blob);
    assert_eq!(source.default_name().unwrap().to_string(), "localhost/my-app:1.0");
    let digest = digest_of(&image.manifest).parse().unwrap();
    assert_eq!(made.oci(ImageChoice::Digest(digest)).unwrap().root().unwrap().1, image.manifest);
    let error = made.oci(ImageChoice::Name("2.0".to_owned())).unwrap_err();
    assert!(error.to_string().contains("no image named \"2.0\"; it has :1.0"), "{error}");
}

#[test]
fn wrong_blobs_of_an_oci_archive_are_refused() {
    let image = image();
    let config = format!("blobs/{}", digest_of(&image.config).replace(':', "/"));
    let mut tar = oci_tar(&image);
    tar.file(&config, b"{}");
    let failure = |tar: &Tar| {
        let source = Made::new(&tar.finish());
        resolve(&source.oci(ImageChoice::Only).unwrap(), &amd64()).unwrap_err()
    };
    // Of two members with one name, the last counts, as it does for tar.
    assert!(matches!(failure(&tar), Error::SizeMismatch { .. }));
    tar.file(&config, &image.config.to_ascii_uppercase());
    assert!(matches!(failure(&tar), Error::DigestMismatch { .. }));
    tar.link(&config, "/etc/passwd");
    assert!(matches!(failure(&tar), Error::NoBlob { .. }));
    let mut tar = oci_tar(&image);
    let layer = format!("blobs/{}", digest_of(&image.layers[1].blob).replace(':', "/"));
    tar.file(&layer, b"short");
    let made = Made::new(&tar.finish());
    let source = made.oci(ImageChoice::Only).unwrap();
    let resolved = resolve(&source, &amd64()).unwrap();
    assert!(matches!(source.open(&resolved.layers[1].descriptor, 0), Err(Error::SizeMismatch { .. })));
}

#[test]
fn a_docker_archive_gets_a_manifest_that_says_the_same() {
    let image = image();
    let made = Made::new(&docker_tar(&image, &["app:1", "quay.io/x/app:1"]).finish());
    let source = made.docker(ArchiveChoice::Only).unwrap();
    let resolved = resolve(&source, &amd64()).unwrap();
    assert_eq!(resolved.config_bytes, image.config);
    assert_eq!(resolved.manifest.media_type, crate::media_type::DOCKER_MANIFEST);
    for (number, layer) in resolved.layers.iter().enumerate() {
        assert_eq!(layer.compression, Compression::Plain);
        assert_eq!(layer.descriptor.digest.to_string(), layer.diff_id.to_string());
        assert_eq!(read(&source, number, 0), image.layers[number].tar);
    }
    assert_eq!(read(&source, 0, 2_000_000), image.layers[0].tar[2_000_000..]);
    assert_eq!(source.default_name().unwrap().to_string(), "docker.io/library/app:1");
    // The same bytes whatever the members are called.
    let expected = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"{}"}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","size":3000000,"digest":"{}"}},{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","size":6,"digest":"{}"}}]}}"#,
        image.config.len(),
        digest_of(&image.config),
        digest_of(&image.layers[0].tar),
        digest_of(&image.layers[1].tar)
    );
    assert_eq!(String::from_utf8(resolved.manifest_bytes).unwrap(), expected);
}

#[test]
fn layers_of_a_docker_archive_may_be_links_and_compressed() {
    let image = image();
    let packed = gzip(&image.layers[0].tar);
    let named = format!("blobs/{}", digest_of(&packed).replace(':', "/"));
    for name in ["a/layer.tar.gz", &named] {
        let mut tar = Tar::default();
        tar.file("config.json", &image.config).file(name, &packed);
        tar.file("one/two/layer.tar", &image.layers[1].tar).link("b/x/layer.tar", "../../b/y");
        tar.link("b/y", "../one/two/layer.tar");
        let manifest =
            json!([{"Config": "config.json", "RepoTags": null, "Layers": [name, "b/x/layer.tar"]}]);
        tar.file("manifest.json", manifest.to_string().as_bytes());
        let made = Made::new(&tar.finish());
        let source = made.docker(ArchiveChoice::Only).unwrap();
        let resolved = resolve(&source, &amd64()).unwrap();
        assert_eq!(resolved.layers[0].compression, Compression::Gzip);
        assert_eq!(resolved.layers[0].descriptor.digest.to_string(), digest_of(&packed));
        assert_eq!(read(&source, 0, 0), packed);
        assert_eq!(read(&source, 1, 0), image.layers[1].tar);
        assert_eq!(source.default_name().unwrap().to_string(), "localhost/my-app:latest");
    }
}

#[test]
fn images_of_a_docker_archive_are_chosen_by_name_or_number() {
    let image = image();
    let mut tar = Tar::default();
    tar.file("c", &image.config).file("a", &image.layers[0].tar).file("b", &image.layers[1].tar);
    let entry = |names: &[&str]| json!({"Config": "c", "RepoTags": names, "Layers": ["a", "b"]});
    tar.file("manifest.json", json!([entry(&["one:1", "uno:1"]), entry(&[])]).to_string().as_bytes());
    let made = Made::new(&tar.finish());
    let name = |text: &str| ArchiveChoice::Name(text.parse().unwrap());
    let source = made.docker(name("docker.io/library/uno:1")).unwrap();
    assert_eq!(source.default_name().unwrap().to_string(), "docker.io/library/uno:1");
    made.docker(ArchiveChoice::Number(1)).unwrap();
    let problem = |choice| made.docker(choice).unwrap_err().to_string();
    assert!(problem(ArchiveChoice::Only).contains("2 images; say which one: :one:1, :@1"));
    assert!(problem(ArchiveChoice::Number(2)).contains("2 images, counted from @0"));
    assert!(problem(name("three")).contains("no image of that name"));
}

#[test]
fn what_is_no_archive_says_what_it_is() {
    let image = image();
    let docker = |bytes: &[u8]| Made::new(bytes).docker(ArchiveChoice::Only).unwrap_err().to_string();
    let oci = |bytes: &[u8]| Made::new(bytes).oci(ImageChoice::Only).unwrap_err().to_string();
    let (docker_bytes, oci_bytes) = (docker_tar(&image, &[]).finish(), oci_tar(&image).finish());
    assert!(docker(&oci_bytes).contains("is an OCI archive: oci-archive:"));
    assert!(oci(&docker_bytes).contains("is one of docker's: docker-archive:"));
    assert!(docker(Tar::default().file("repositories", b"{}").finish().as_slice()).contains("before 1.10"));
    assert!(docker(Tar::default().file("x", b"").finish().as_slice()).contains("no archive of docker's"));
    assert!(
        oci(&gzip(&oci_bytes)).contains("compressed with gzip") && oci(&gzip(&oci_bytes)).contains("gunzip")
    );
    let end = oci_bytes.len() - 1024;
    assert!(oci(&oci_bytes[..end - 600]).contains("My-App.tar"), "a cut archive");
    assert!(matches!(OciArchive::open("/dev/null".as_ref(), ImageChoice::Only), Err(Error::File { .. })));
    assert!(matches!(OciArchive::open("/none".as_ref(), ImageChoice::Only), Err(Error::File { .. })));
}

#[test]
fn a_docker_archive_that_does_not_add_up_is_refused() {
    let image = image();
    let with_manifest = |manifest: serde_json::Value| {
        let mut tar = docker_tar(&image, &[]);
        tar.file("manifest.json", manifest.to_string().as_bytes());
        tar.link("out", "../../etc/passwd").link("loop", "loop");
        Made::new(&tar.finish()).docker(ArchiveChoice::Only).unwrap_err().to_string()
    };
    let layers = |layers: &[&str]| json!([{"Config": "config.json", "Layers": layers}]);
    assert!(with_manifest(layers(&["a/layer.tar"])).contains("1 layers"));
    assert!(with_manifest(layers(&["a/layer.tar", "absent"])).contains("no blob absent"));
    let out = with_manifest(layers(&["a/layer.tar", "out"]));
    assert!(out.contains("no blob out") && out.contains("leads out of the archive"), "{out}");
    assert!(with_manifest(layers(&["a/layer.tar", "loop"])).contains("too many others"));
    assert!(with_manifest(layers(&["a/layer.tar", "../x"])).contains("leads out of the archive"));
    assert!(with_manifest(json!({"Config": "x"})).contains("manifest.json is not valid"));
    assert!(with_manifest(json!([])).contains("no image at all"));
    assert!(with_manifest(json!(null)).contains("its manifest.json is null, so that it has no image at all"));
    assert!(with_manifest(json!([null])).contains("image @0 is null"));
    assert!(with_manifest(json!([{"Config": null, "Layers": null}])).contains("has no config there"));
    assert!(with_manifest(json!([{"Config": "", "RepoTags": null}])).contains("has no config there"));
    let null_layers = json!([{"Config": "config.json", "RepoTags": null, "Layers": null}]);
    assert!(with_manifest(null_layers).contains("0 layers"));
    assert!(with_manifest(json!([{"Config": "a/layer.tar"}])).contains("a/layer.tar"));
}

/// docker links the layers that are the same; what was left out of an archive left links to nothing, and these were
/// called absent, or absent under another name.
#[test]
fn members_that_link_to_nothing_are_named_with_what_they_link_to() {
    let image = image();
    let problem = |fill: &dyn Fn(&mut Tar)| {
        let mut tar = docker_tar(&image, &[]);
        let manifest = json!([{"Config": "config.json", "Layers": ["a/layer.tar", "link"]}]);
        tar.file("manifest.json", manifest.to_string().as_bytes());
        fill(&mut tar);
        Made::new(&tar.finish()).docker(ArchiveChoice::Only).unwrap_err().to_string()
    };
    for (target, expected) in [
        ("../gone/layer.tar", "link to \"../gone/layer.tar\", which leads out of the archive"),
        ("gone/layer.tar", "link to \"gone/layer.tar\", which is not in the archive"),
        ("/gone", "link to \"/gone\", which is not in the archive"),
    ] {
        let problem = problem(&|tar| _ = tar.link("link", target));
        assert!(problem.contains("no blob link: it is a ") && problem.contains(expected), "{problem}");
    }
    let chain = problem(&|tar| _ = tar.link("link", "other").link("other", "gone"));
    assert!(chain.contains("link to \"gone\", which is not in the archive"), "{chain}");
}
