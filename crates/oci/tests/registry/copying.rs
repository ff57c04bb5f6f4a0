//! Images from registry to registry and layout, with everything that has been said about them.

use std::io::Read as _;
use std::path::Path;

use sealpack_oci::artifact::{Artifact, Part};
use sealpack_oci::copy::{Copied, CopyOptions, Platforms, copy};
use sealpack_oci::layout::ImageChoice;
use sealpack_oci::layout::LayoutTarget;
use sealpack_oci::layout::OciLayout;
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use sealpack_oci::transport::ImageSource;
use sealpack_test_registry::{Action, Fault, Image, ImageLayer, Registry, digest_of};
use tempfile::TempDir;

use super::referrers::{NOTE, entry, note, put, subject};
use super::uploads::{target, target_with};
use super::*;

fn wanted(platforms: Platforms) -> CopyOptions {
    CopyOptions { platforms, referrers: true }
}

pub(crate) fn usual() -> CopyOptions {
    wanted(Platforms::Usual(platform()))
}

/// Copies `app:1` of one registry to `copy:2` of another.
fn copied(from: &Registry, to: &Registry, options: &CopyOptions) -> Result<Copied> {
    copy(&source(from, "app:1"), &target(to, "copy:2"), options, &())
}

fn has_image(registry: &Registry, image: &Image) {
    let blobs = [&image.config].into_iter().chain(image.layers.iter().map(|layer| &layer.blob));
    for blob in blobs {
        assert_eq!(registry.blob("copy", &digest_of(blob)).as_ref(), Some(blob));
    }
    assert_eq!(registry.manifest("copy", &digest_of(&image.manifest)), Some(image.manifest.clone()));
}

/// A note about a note.
fn second_note(about: &Artifact) -> Artifact {
    let subject = Some(Descriptor::of(OCI_MANIFEST, &about.manifest()));
    Artifact { subject, layers: vec![Part::new("text/plain", "second")], ..note("x", "2027") }
}

#[test]
fn an_image_goes_byte_for_byte_with_its_referrers_and_theirs() {
    for (api_there, api_here) in [(true, true), (true, false), (false, true)] {
        let (from, to) = (registry_with_image(), Registry::start());
        let first = note("first", "2026");
        put(&from, &first);
        put(&from, &second_note(&first));
        if !api_there {
            from.set_referrers_api(false);
            for about in [&first, &second_note(&first)] {
                let subject = about.subject.clone().unwrap().digest;
                let index = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX,
                    "manifests": [entry(&about.descriptor())]});
                let tag = sealpack_oci::referrers::fallback_tag(&subject);
                from.put_manifest("app", &tag, OCI_INDEX, index.to_string());
            }
        }
        to.set_referrers_api(api_here);
        let result = copied(&from, &to, &usual()).unwrap();
        assert_eq!((result.manifests, result.referrers, result.left_out.len()), (1, 2, 0));
        assert_eq!(result.fallback_tags.len(), if api_here { 0 } else { 2 });
        has_image(&to, &image());
        assert_eq!(to.manifest("copy", "2").unwrap(), image().manifest);
        let copy = source(&to, "copy:2");
        assert_eq!(copy.referrers(&subject(), None).unwrap(), [first.descriptor()]);
        let theirs = copy.referrers(&first.descriptor(), None).unwrap();
        assert_eq!(theirs, [second_note(&first).descriptor()]);
        // A second time, only the name is written.
        let before = to.requests().len();
        let again = copied(&from, &to, &usual()).unwrap();
        assert_eq!((again.blobs.sent, again.blobs.known), (0, result.blobs.sent));
        let patched = to.requests()[before..].iter().filter(|request| request.method == "PATCH").count();
        assert_eq!(patched, 0);
    }
}

#[test]
fn referrers_stay_where_they_are_if_so_wanted() {
    let (from, to) = (registry_with_image(), Registry::start());
    put(&from, &note("first", "2026"));
    let options = CopyOptions { referrers: false, ..usual() };
    assert_eq!(copied(&from, &to, &options).unwrap().referrers, 0);
    has_image(&to, &image());
    assert_eq!(from.count("/referrers/"), 0);
    assert_eq!(source(&to, "copy:2").referrers(&subject(), None).unwrap(), []);
}

/// A registry with an index of two platforms at `app:1`, the index's bytes, and the other image.
fn two_platforms() -> (Registry, Vec<u8>, Image) {
    let registry = Registry::start();
    let arm = Image::new("linux/arm64", vec![ImageLayer::plain(b"arm"), ImageLayer::gzip(b"second")]);
    registry.put_image("app", "amd", &image());
    registry.put_image("app", "arm", &arm);
    let index = Image::index(&[("linux/amd64", &image()), ("linux/arm64", &arm)]);
    registry.put_manifest("app", "1", OCI_INDEX, index.clone());
    (registry, index, arm)
}

#[test]
fn an_index_is_copied_whole_or_one_platform_of_it() {
    let (from, index, arm) = two_platforms();
    let to = Registry::start();
    let result = copied(&from, &to, &wanted(Platforms::All)).unwrap();
    // One layer is in both images.
    assert_eq!((result.manifests, result.blobs.sent), (3, 5));
    assert_eq!(to.manifest("copy", "2").unwrap(), index);
    has_image(&to, &image());
    has_image(&to, &arm);
    let to = Registry::start();
    let result = copied(&from, &to, &wanted(Platforms::Only("linux/arm64".parse().unwrap()))).unwrap();
    assert_eq!(result.root.digest.to_string(), digest_of(&arm.manifest));
    assert_eq!(to.manifest("copy", "2").unwrap(), arm.manifest);
    assert_eq!(to.manifest("copy", &digest_of(&image().manifest)), None);
    let error = copied(&from, &to, &wanted(Platforms::Only("linux/s390x".parse().unwrap()))).unwrap_err();
    assert!(matches!(error, Error::NoPlatform { .. }), "{error}");
    // A single image is copied whatever it is for, unless a platform is asked for.
    let single = source(&from, "app:arm");
    copy(&single, &target(&to, "copy:3"), &usual(), &()).unwrap();
    let error = copy(&single, &target(&to, "copy:3"), &wanted(Platforms::Only(platform())), &()).unwrap_err();
    assert!(matches!(error, Error::WrongPlatform { .. }), "{error}");
}

#[test]
fn blobs_of_the_same_registry_are_mounted() {
    let registry = registry_with_image();
    let from = source(&registry, "app:1");
    for blob in [&image().config].into_iter().chain(image().layers.iter().map(|layer| &layer.blob)) {
        registry.put_blob_in("app", blob.clone());
    }
    let to = target_with(&registry, "copy:2", Some("app"));
    let result = copy(&from, &to, &usual(), &()).unwrap();
    assert_eq!((result.blobs.mounted, result.blobs.sent), (3, 0));
    has_image(&registry, &image());
}

#[test]
fn the_name_changes_last_and_a_failed_copy_leaves_the_old_image() {
    let (from, to) = (registry_with_image(), Registry::start());
    put(&from, &note("first", "2026"));
    let old = Image::new("linux/amd64", vec![]);
    to.put_image("copy", "2", &old);
    let digest = note("first", "2026").descriptor().digest.to_string();
    to.fault(Fault::status(&digest, 400).method("PUT"));
    copied(&from, &to, &usual()).unwrap_err();
    assert_eq!(to.manifest("copy", "2").unwrap(), old.manifest);
    to.clear_faults();
    copied(&from, &to, &usual()).unwrap();
    let requests = to.requests();
    let last = requests.iter().rfind(|request| request.method == "PUT").unwrap();
    assert_eq!(last.target, "/v2/copy/manifests/2");
}

#[test]
fn wrong_bytes_on_the_way_are_refused_and_not_stored() {
    let (from, to) = (registry_with_image(), Registry::start());
    from.fault(Fault::new(&layer_path(), Action::WrongByte));
    let error = copied(&from, &to, &usual()).unwrap_err();
    assert!(error.is_verification(), "{error}");
    assert_eq!((to.manifest("copy", "2"), to.open_uploads()), (None, 0));
    let directory = TempDir::new().unwrap();
    let layout = LayoutTarget::open(directory.path(), None).unwrap();
    let error = copy(&source(&from, "app:1"), &layout, &usual(), &()).unwrap_err();
    assert!(error.is_verification(), "{error}");
    assert!(leftovers(directory.path()).is_empty());
    let blob = directory.path().join("blobs").join(digest_of(&image().layers[0].blob).replace(':', "/"));
    assert!(!blob.exists());
}

/// Temporary files in a layout.
fn leftovers(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    entries.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with('.')).collect()
}

#[test]
fn a_layout_takes_everything_and_gives_it_back() {
    let from = registry_with_image();
    let first = note("first", "2026");
    put(&from, &first);
    put(&from, &second_note(&first));
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("new/layout");
    {
        let layout = LayoutTarget::open(&path, Some("1.0".to_owned())).unwrap();
        let result = copy(&source(&from, "app:1"), &layout, &usual(), &()).unwrap();
        assert_eq!((result.referrers, result.fallback_tags.len()), (2, 0));
    }
    assert!(leftovers(&path).is_empty());
    // The only image, although referrers are listed beside it.
    let layout = OciLayout::open(&path, ImageChoice::Only).unwrap();
    assert_eq!(resolve(&layout, &platform()).unwrap().manifest_bytes, image().manifest);
    assert_eq!(layout.referrers(&subject(), Some(NOTE)).unwrap(), [first.descriptor()]);
    assert_eq!(layout.referrers(&subject(), Some("other")).unwrap(), []);
    let to = Registry::start();
    let result = copy(&layout, &target(&to, "copy:2"), &usual(), &()).unwrap();
    assert_eq!(result.referrers, 2);
    has_image(&to, &image());
    let copy = source(&to, "copy:2");
    assert_eq!(copy.referrers(&first.descriptor(), None).unwrap(), [second_note(&first).descriptor()]);
}

#[test]
fn a_name_in_a_layout_moves_to_the_new_image_and_others_stay() {
    let from = registry_with_image();
    let other = Image::new("linux/amd64", vec![]);
    from.put_image("app", "2", &other);
    let directory = TempDir::new().unwrap();
    let put = |tag: &str, name: &str| {
        let layout = LayoutTarget::open(directory.path(), Some(name.to_owned())).unwrap();
        copy(&source(&from, tag), &layout, &usual(), &()).unwrap();
    };
    put("app:1", "a");
    put("app:1", "b");
    put("app:2", "a");
    let named = |name: &str| {
        let layout = OciLayout::open(directory.path(), ImageChoice::Name(name.to_owned())).unwrap();
        layout.root().unwrap().1
    };
    assert_eq!((named("a"), named("b")), (other.manifest.clone(), image().manifest));
    let index = std::fs::read_to_string(directory.path().join("index.json")).unwrap();
    put("app:2", "a");
    assert_eq!(std::fs::read_to_string(directory.path().join("index.json")).unwrap(), index);
}

#[test]
fn a_layout_in_the_way_is_explained_and_one_that_was_interrupted_is_cleared() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("file"), "x").unwrap();
    std::fs::write(directory.path().join(".sealpack-mine"), "x").unwrap();
    let error = LayoutTarget::open(directory.path(), None).unwrap_err().to_string();
    assert!(error.contains("other files in it and is no OCI layout"), "{error}");
    assert_eq!(leftovers(directory.path()).len(), 1, "files of something else were removed");
    let error = LayoutTarget::open(&directory.path().join("file"), None).unwrap_err().to_string();
    assert!(error.contains("cannot make the directory"), "{error}");
    let path = directory.path().join("layout");
    let layout = LayoutTarget::open(&path, None).unwrap();
    assert!(!path.exists(), "made before anything is written");
    copy(&source(&registry_with_image(), "app:1"), &layout, &usual(), &()).unwrap();
    drop(layout);
    std::fs::write(path.join(".sealpack-1-1"), "half").unwrap();
    LayoutTarget::open(&path, None).unwrap();
    assert!(leftovers(&path).is_empty());
    // Not while somebody else writes.
    let _other = LayoutTarget::open(&path, None).unwrap();
    std::fs::write(path.join(".sealpack-1-1"), "half").unwrap();
    LayoutTarget::open(&path, None).unwrap();
    assert_eq!(leftovers(&path).len(), 1);
    std::fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    let error = LayoutTarget::open(&path, None).unwrap_err().to_string();
    assert!(error.contains("the version \"2.0.0\""), "{error}");
}

#[test]
fn sizes_whose_sum_no_number_holds_are_no_surprise() {
    let (from, to) = (Registry::start(), Registry::start());
    let image = Image::new("linux/amd64", vec![ImageLayer::gzip(b"one"), ImageLayer::gzip(b"two")]);
    from.put_image("app", "1", &image);
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    for layer in 0..2 {
        manifest["layers"][layer]["size"] = u64::MAX.into();
    }
    from.put_manifest("app", "1", image.manifest_type, manifest.to_string());
    assert!(copied(&from, &to, &usual()).is_err());
    let store = TempDir::new().unwrap();
    let store = sealpack_store::Store::create(store.path(), sealpack_format::Algorithm::Sha256).unwrap();
    let source = source(&from, "app:1");
    let found = sealpack_oci::image::resolve(&source, &platform()).unwrap();
    let name = "localhost/app:1".parse().unwrap();
    let request = sealpack_oci::pull::Request::unjudged(&name, None);
    assert!(sealpack_oci::pull::pull(&store, &source, &found, &request, &()).is_err());
}

/// A layout that somebody else made must not say where else on this machine files are written.
#[test]
fn a_layout_with_links_in_it_is_not_written_to() {
    for name in ["blobs", "blobs/sha256", "index.json"] {
        let (directory, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let layout = directory.path().join("layout");
        std::fs::create_dir_all(layout.join("blobs")).unwrap();
        if name == "blobs" {
            std::fs::remove_dir(layout.join(name)).unwrap();
        }
        std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        std::fs::write(layout.join("index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
        let _ = std::fs::remove_file(layout.join(name));
        std::os::unix::fs::symlink(elsewhere.path(), layout.join(name)).unwrap();
        let written = LayoutTarget::open(&layout, None)
            .and_then(|target| copy(&source(&registry_with_image(), "app:1"), &target, &usual(), &()));
        let error = written.unwrap_err().to_string();
        assert!(error.contains(&format!("{name} is not valid: a symbolic link")), "{error}");
        assert!(std::fs::read_dir(elsewhere.path()).unwrap().next().is_none());
    }
}

#[test]
fn referrers_that_refer_to_each_other_are_seen_through() {
    let (from, to) = (registry_with_image(), Registry::start());
    let (first, second) = (note("first", "2026"), note("second", "2026"));
    put(&from, &first);
    put(&from, &second);
    // By digest nobody can make such manifests; a registry can list them so.
    for (subject, listed) in [(&first, &second), (&second, &first)] {
        let subject = subject.descriptor().digest.to_string();
        from.pretend_referrer(&subject, entry(&listed.descriptor()));
        from.pretend_referrer(&subject, entry(&super::referrers::subject()));
    }
    let result = copied(&from, &to, &usual()).unwrap();
    assert_eq!((result.referrers, result.left_out.len()), (2, 0));
    // A note about the first that pretends to be about another one.
    let foreign = second_note(&note("third", "2026"));
    let foreign = put(&from, &foreign);
    from.pretend_referrer(&subject().digest.to_string(), entry(&foreign));
    let result = copied(&from, &to, &usual()).unwrap();
    assert_eq!((result.referrers, result.left_out.len()), (2, 1));
    assert!(result.left_out[0].problem.contains("is no referrer of"), "{:?}", result.left_out);
    assert_eq!(to.manifest("copy", &foreign.digest.to_string()), None);
}

#[test]
fn a_chain_of_referrers_without_end_is_given_up() {
    let (from, to) = (registry_with_image(), Registry::start());
    let mut last = note("first", "2026");
    put(&from, &last);
    for _ in 0..9 {
        last = second_note(&last);
        put(&from, &last);
    }
    let error = copied(&from, &to, &usual()).unwrap_err().to_string();
    assert!(error.ends_with("has more than 8 referrers in a chain"), "{error}");
    assert_eq!(to.manifest("copy", "2"), None);
}

#[test]
fn a_tag_that_moves_meanwhile_does_not_mix_two_images() {
    let (from, _, arm) = two_platforms();
    let to = Registry::start();
    // The second time, the tag would be the other image.
    let moved = Fault::answer("/manifests/1", 200, ("Content-Type", OCI_MANIFEST), "");
    from.fault(moved.after(1));
    copied(&from, &to, &wanted(Platforms::Only("linux/arm64".parse().unwrap()))).unwrap();
    has_image(&to, &arm);
    assert_eq!(from.count("/manifests/1"), 1);
}

#[test]
fn layers_from_a_registry_that_breaks_go_on_where_they_broke() {
    let (from, to) = (registry_with_image(), Registry::start());
    from.fault(Fault::new(&layer_path(), Action::CutAfter(300_000)).times(1));
    to.fault(Fault::new("/uploads/", Action::CutUpload(1000)).method("PATCH").times(1));
    copied(&from, &to, &usual()).unwrap();
    has_image(&to, &image());
    let mut bytes = Vec::new();
    let manifest = resolve(&source(&to, "copy:2"), &platform()).unwrap();
    source(&to, "copy:2").open(&manifest.layers[0].descriptor, 0).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, noise());
}

#[test]
fn a_foreign_layer_is_copied_where_its_blob_is_and_left_out_where_not() {
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    let mut image = image();
    let manifest = String::from_utf8(image.manifest).unwrap();
    image.manifest = manifest.replace("application/vnd.oci.image.layer.v1.tar+gzip", foreign).into_bytes();
    let (from, to) = (Registry::start(), Registry::start());
    from.put_image("app", "1", &image);
    assert_eq!(copied(&from, &to, &usual()).unwrap().left_out.len(), 0);
    has_image(&to, &image);
    // The test registry demands every blob of a manifest; a layout does not.
    let (from, directory) = (Registry::start(), TempDir::new().unwrap());
    let elsewhere = image.layers.pop().unwrap();
    from.put_image("app", "1", &image);
    let to = LayoutTarget::open(&directory.path().join("layout"), Some("copy".to_owned())).unwrap();
    let left_out = copy(&source(&from, "app:1"), &to, &usual(), &()).unwrap().left_out;
    assert_eq!(
        left_out.iter().map(|it| it.digest.to_string()).collect::<Vec<_>>(),
        [digest_of(&elsewhere.blob)]
    );
}

/// The new entry was written nowhere, and the list said to lack it again after each attempt.
#[test]
fn a_list_of_referrers_that_is_null_gets_its_first_entry() {
    for list in ["null", "[]"] {
        let (from, to) = (registry_with_image(), Registry::start());
        let first = note("first", "2026");
        put(&from, &first);
        to.set_referrers_api(false);
        let tag = sealpack_oci::referrers::fallback_tag(&subject().digest);
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":{list}}}"#);
        to.put_manifest("copy", &tag, OCI_INDEX, index);
        assert_eq!(copied(&from, &to, &usual()).unwrap().referrers, 1);
        assert_eq!(source(&to, "copy:2").referrers(&subject(), None).unwrap(), [first.descriptor()]);
    }
}
