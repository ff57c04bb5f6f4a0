use std::fs;

use sealpack_test_registry::{Image, ImageLayer, digest_of};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::image::resolve;

/// A layout `app` in a temporary directory.
struct Made {
    parent: TempDir,
}

impl Made {
    fn new() -> Self {
        let made = Self { parent: TempDir::new().unwrap() };
        fs::create_dir_all(made.path().join("blobs/sha256")).unwrap();
        fs::write(made.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        made
    }

    fn path(&self) -> PathBuf {
        self.parent.path().join("app")
    }

    fn blob(&self, bytes: &[u8]) {
        let digest = digest_of(bytes);
        fs::write(self.path().join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
    }

    fn image(&self, image: &Image) {
        let blobs =
            [&image.manifest, &image.config].into_iter().chain(image.layers.iter().map(|layer| &layer.blob));
        blobs.for_each(|bytes| self.blob(bytes));
    }

    fn index(&self, entries: &[serde_json::Value]) {
        let index = json!({"schemaVersion": 2, "manifests": entries});
        fs::write(self.path().join("index.json"), index.to_string()).unwrap();
    }

    fn open(&self, choice: ImageChoice) -> Result<OciLayout> {
        OciLayout::open(&self.path(), choice)
    }

    fn problem(&self, choice: ImageChoice) -> String {
        self.open(choice).unwrap_err().to_string()
    }
}

fn image(platform: &str) -> Image {
    Image::new(platform, vec![ImageLayer::gzip(platform.as_bytes()), ImageLayer::plain(b"top")])
}

fn entry(image: &Image, annotations: serde_json::Value) -> serde_json::Value {
    let (digest, size) = (digest_of(&image.manifest), image.manifest.len());
    json!({"mediaType": image.manifest_type, "digest": digest, "size": size, "annotations": annotations})
}

fn named(image: &Image, name: &str) -> serde_json::Value {
    entry(image, json!({ REF_NAME: name }))
}

fn choice(name: &str) -> ImageChoice {
    ImageChoice::Name(name.to_owned())
}

fn amd64() -> crate::platform::Platform {
    "linux/amd64".parse().unwrap()
}

#[test]
fn the_only_image_needs_no_name() {
    let (made, image) = (Made::new(), image("linux/amd64"));
    made.image(&image);
    made.index(&[entry(&image, json!(null))]);
    let source = made.open(ImageChoice::Only).unwrap();
    let resolved = resolve(&source, &amd64()).unwrap();
    assert_eq!(resolved.manifest_bytes, image.manifest);
    let mut bytes = Vec::new();
    let layer = &resolved.layers[0].descriptor;
    source.open(layer, 3).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, image.layers[0].blob[3..]);
    assert_eq!(source.default_name().unwrap().to_string(), "localhost/app:latest");
    assert!(!source.is_remote());
}

#[test]
fn images_are_chosen_by_name_or_digest() {
    let made = Made::new();
    let (one, two) = (image("linux/amd64"), image("linux/arm64"));
    made.image(&one);
    made.image(&two);
    made.index(&[named(&one, "1.0"), named(&two, "quay.io/a/b:2")]);
    let root = |choice| made.open(choice).unwrap().root().unwrap().1;
    assert_eq!(root(choice("1.0")), one.manifest);
    assert_eq!(root(choice("quay.io/a/b:2")), two.manifest);
    let digest = digest_of(&two.manifest).parse().unwrap();
    assert_eq!(root(ImageChoice::Digest(digest)), two.manifest);
    let name = |choice| made.open(choice).unwrap().default_name().unwrap().to_string();
    assert_eq!(name(choice("1.0")), "localhost/app:1.0");
    assert_eq!(name(choice("quay.io/a/b:2")), "quay.io/a/b:2");
    assert!(made.problem(choice("2.0")).contains("no image named \"2.0\"; it has :1.0, :quay.io/a/b:2"));
    assert!(made.problem(ImageChoice::Only).contains("several images; say which one: :1.0"));
}

#[test]
fn a_digest_may_name_what_the_index_does_not_list() {
    let (made, image) = (Made::new(), image("linux/amd64"));
    made.image(&image);
    made.index(&[]);
    let digest = digest_of(&image.manifest).parse().unwrap();
    let source = made.open(ImageChoice::Digest(digest)).unwrap();
    assert_eq!(resolve(&source, &amd64()).unwrap().manifest_bytes, image.manifest);
    assert!(made.problem(ImageChoice::Only).contains("no image at all"));
    let absent = digest_of(b"absent").parse().unwrap();
    assert!(made.open(ImageChoice::Digest(absent)).unwrap().root().is_err());
}

#[test]
fn nested_indexes_lead_to_the_platform() {
    let made = Made::new();
    let (amd, arm) = (image("linux/amd64"), image("linux/arm64"));
    made.image(&amd);
    made.image(&arm);
    let inner = Image::index(&[("linux/arm64", &arm), ("linux/amd64", &amd)]);
    made.blob(&inner);
    let descriptor = json!({"mediaType": OCI_INDEX, "digest": digest_of(&inner), "size": inner.len()});
    made.index(&[descriptor]);
    let resolved = resolve(&made.open(ImageChoice::Only).unwrap(), &amd64()).unwrap();
    assert_eq!(resolved.manifest_bytes, amd.manifest);
}

#[test]
fn an_index_of_one_images_platforms_is_taken_whole() {
    let made = Made::new();
    let (amd, arm) = (image("linux/amd64"), image("linux/arm64"));
    made.image(&amd);
    made.image(&arm);
    let with_platform = |image: &Image, architecture: &str| {
        let mut entry = named(image, "1.0");
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    made.index(&[with_platform(&amd, "amd64"), with_platform(&arm, "arm64")]);
    let source = made.open(ImageChoice::Only).unwrap();
    assert_eq!(resolve(&source, &"linux/arm64".parse().unwrap()).unwrap().manifest_bytes, arm.manifest);
    assert!(made.problem(choice("1.0")).contains("several images have that name"));
}

#[test]
fn what_is_no_layout_says_why() {
    let made = Made::new();
    let text = made.problem(ImageChoice::Only);
    assert!(text.contains("index.json"), "{text}");
    made.index(&[]);
    fs::write(made.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(made.problem(ImageChoice::Only).contains("the version \"2.0.0\""));
    fs::write(made.path().join("oci-layout"), "{}").unwrap();
    assert!(made.problem(ImageChoice::Only).contains("imageLayoutVersion"));
    fs::remove_file(made.path().join("oci-layout")).unwrap();
    assert!(made.problem(ImageChoice::Only).contains("oci-layout"));
}

#[test]
fn blobs_that_are_missing_short_long_or_wrong_are_refused() {
    let (made, image) = (Made::new(), image("linux/amd64"));
    made.image(&image);
    made.index(&[entry(&image, json!(null))]);
    let source = made.open(ImageChoice::Only).unwrap();
    let config = made.path().join("blobs").join(digest_of(&image.config).replace(':', "/"));
    let failure = || resolve(&source, &amd64()).unwrap_err();
    fs::write(&config, &image.config[1..]).unwrap();
    assert!(matches!(failure(), Error::SizeMismatch { .. }));
    fs::write(&config, [image.config.as_slice(), b" "].concat()).unwrap();
    assert!(matches!(failure(), Error::SizeMismatch { .. }));
    fs::write(&config, image.config.to_ascii_uppercase()).unwrap();
    assert!(matches!(failure(), Error::DigestMismatch { .. }));
    fs::remove_file(&config).unwrap();
    assert!(matches!(failure(), Error::NoBlob { .. }));
    fs::create_dir(&config).unwrap();
    let message = failure().to_string();
    assert!(message.starts_with("cannot open ") && message.ends_with("not a regular file"), "{message}");
}

#[test]
fn a_layer_that_shrinks_or_grows_while_it_is_read_is_an_error() {
    let read = |bytes: &[u8]| {
        let mut reader = ExactReader::new(bytes, "x".to_owned(), 5, 1);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).map(|_| all).map_err(|error| Error::from_read(error).unwrap())
    };
    assert_eq!(read(b"abcd").unwrap(), b"abcd");
    assert!(matches!(read(b"abc"), Err(Error::SizeMismatch { expected_bytes: 5, actual_bytes: 4, .. })));
    assert!(matches!(read(b"abcde"), Err(Error::TooLong { .. })));
}

/// A layout of a few megabytes must not fill the memory with what it says again and again.
#[test]
fn a_referrer_that_is_listed_again_and_again_is_read_once_and_all_of_them_have_a_limit() {
    let made = Made::new();
    let (app, subject) =
        (image("linux/amd64"), Descriptor::new(OCI_INDEX, digest_of(b"x").parse().unwrap(), 1));
    let referrer = json!({
        "schemaVersion": 2,
        "config": {"mediaType": "x", "digest": digest_of(b"{}"), "size": 2},
        "layers": [],
        "subject": {"mediaType": OCI_INDEX, "digest": subject.digest.to_string(), "size": 1},
    });
    let named = |number: usize, size: u64| {
        let digest = digest_of(number.to_string().as_bytes());
        json!({"mediaType": app.manifest_type, "digest": digest, "size": size})
    };
    let list = |digest: &str| {
        let annotations = json!({REF_NAME: fallback_tag(&subject.digest)});
        json!({"mediaType": OCI_INDEX, "digest": digest, "size": 1, "annotations": annotations})
    };
    let listed = |entries: Vec<serde_json::Value>| {
        made.index(&entries);
        let layout =
            made.open(ImageChoice::Digest(digest_of(&app.manifest).parse().unwrap())).unwrap().layout;
        let fetched = std::cell::Cell::new(0);
        let fetch = |descriptor: &Descriptor| {
            fetched.set(fetched.get() + 1);
            let empty = json!({"schemaVersion": 2, "manifests": []});
            Ok(if descriptor.media_type == OCI_INDEX { &empty } else { &referrer }.to_string().into_bytes())
        };
        layout.referrers(&subject, None, fetch).map(|found| (found.len(), fetched.get()))
    };
    let lists = std::iter::repeat_n(list(&digest_of(b"list")), 1000);
    let again = std::iter::repeat_n(named(1, 300), 1000).chain(lists).collect();
    // The list is looked at as a referrer and as a list.
    assert_eq!(listed(again).unwrap(), (1, 3));
    let large = (0..17).map(|number| named(number, MANIFEST_MAX_BYTES)).collect();
    assert!(matches!(listed(large), Err(Error::TooLarge { .. })));
}
