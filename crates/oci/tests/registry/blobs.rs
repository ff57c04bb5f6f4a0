//! Layers over a network that breaks.

use sealpack_oci::transport::ImageSource as _;
use sealpack_test_registry::{Action, Fault, Registry};

use super::*;

/// Reads the layer from a registry with one fault on its blob.
fn with_fault(fault: impl Fn(&str) -> Fault) -> (Registry, Result<Vec<u8>>) {
    let registry = registry_with_image();
    registry.fault(fault(&layer_path()));
    let result = read_layer(&source(&registry, "app:1"), 0);
    (registry, result)
}

#[test]
fn a_blob_arrives_whole_and_from_any_offset() {
    let registry = registry_with_image();
    let source = source(&registry, "app:1");
    assert_eq!(read_layer(&source, 0).unwrap(), noise());
    assert_eq!(read_layer(&source, 1000).unwrap(), noise()[1000..]);
    assert_eq!(read_layer(&source, noise().len() as u64).unwrap(), b"");
    assert!(read_layer(&source, noise().len() as u64 + 1).is_err());
}

#[test]
fn a_broken_transfer_is_resumed_where_it_broke() {
    for action in [
        Action::CutAfter(300_000),
        Action::CutChunkedBody(300_000),
        Action::StallAfter(300_000, Duration::from_secs(5)),
    ] {
        let (registry, result) = with_fault(|path| Fault::new(path, action.clone()).times(1));
        assert_eq!(result.unwrap(), noise(), "{action:?}");
        let requests = registry.requests();
        let resumed: Vec<_> = requests.iter().filter_map(|request| request.header("range")).collect();
        assert_eq!(resumed, ["bytes=300000-"], "{action:?}");
    }
}

#[test]
fn many_breaks_with_progress_between_them_are_survived() {
    let registry = registry_with_image();
    // Each part is longer than what counts as progress, and there are more breaks than retries.
    let big: Vec<u8> = (0..8).flat_map(|_| noise()).collect();
    let image = Image::new("linux/amd64", vec![ImageLayer::plain(&big)]);
    registry.put_image("app", "1", &image);
    let path = sealpack_test_registry::digest_of(&big);
    registry.fault(Fault::new(&path, Action::CutAfter(600_000)).times(7));
    assert_eq!(read_layer(&source(&registry, "app:1"), 0).unwrap(), big);
    assert_eq!(registry.count(&path), 8);
}

#[test]
fn a_transfer_without_progress_is_given_up() {
    let (registry, result) = with_fault(|path| Fault::new(path, Action::CutAfter(10)));
    let error = registry_error(result.unwrap_err());
    assert!(matches!(error, RegistryError::Broken { failures: 4, .. }), "{error}");
    assert!(
        error.to_string().contains("broke 4 times in a row, the last time after 40 of 614400 bytes"),
        "{error}"
    );
    assert_eq!(registry.count(&layer_path()), 4);
}

#[test]
fn a_server_that_ignores_ranges_sends_all_again() {
    let registry = registry_with_image();
    registry.fault(Fault::new(&layer_path(), Action::CutAfter(300_000)).ranged(false).times(1));
    registry.fault(Fault::new(&layer_path(), Action::IgnoreRange).ranged(true));
    let source = source(&registry, "app:1");
    assert_eq!(read_layer(&source, 0).unwrap(), noise());
    assert_eq!(read_layer(&source, 5).unwrap(), noise()[5..]);
}

#[test]
fn a_server_that_refuses_ranges_is_asked_for_all_again() {
    let registry = registry_with_image();
    registry.fault(Fault::new(&layer_path(), Action::CutAfter(300_000)).ranged(false).times(1));
    registry.fault(Fault::new(&layer_path(), Action::RefuseRange).ranged(true));
    assert_eq!(read_layer(&source(&registry, "app:1"), 0).unwrap(), noise());
    assert_eq!(registry.count(&layer_path()), 3);
}

#[test]
fn a_wrong_part_is_not_taken_for_the_right_one() {
    let registry = registry_with_image();
    registry.fault(Fault::new(&layer_path(), Action::CutAfter(300_000)).ranged(false).times(1));
    registry.fault(Fault::new(&layer_path(), Action::ShiftRange(7)).ranged(true));
    assert_eq!(read_layer(&source(&registry, "app:1"), 0).unwrap(), noise());
}

#[test]
fn a_blob_that_breaks_while_it_is_skipped_is_tried_again() {
    let registry = registry_with_image();
    registry.fault(Fault::new(&layer_path(), Action::IgnoreRange).ranged(true).times(1));
    let source = source(&registry, "app:1");
    let image = resolve(&source, &platform()).unwrap();
    registry.clear_faults();
    registry.fault(Fault::new(&layer_path(), Action::RefuseRange).ranged(true).times(1));
    registry.fault(Fault::new(&layer_path(), Action::CutAfter(100_000)).ranged(false).times(2));
    assert_eq!(read_blob(&source, &image, 300_000).unwrap(), noise()[300_000..]);
}

#[test]
fn a_blob_of_another_length_is_refused() {
    for (action, expected) in [
        (Action::LongBody(3), "has 614403 bytes, but its descriptor says 614400"),
        (Action::ShortBody(100), "has 100 bytes, but its descriptor says 614400"),
        (Action::LongChunkedBody(3), "is longer than the 614400 bytes"),
        (Action::EndlessBody, "is longer than the 614400 bytes"),
    ] {
        let (registry, result) = with_fault(|path| Fault::new(path, action.clone()));
        let error = result.unwrap_err();
        assert!(error.is_verification() && error.to_string().contains(expected), "{action:?}: {error}");
        assert_eq!(registry.count(&layer_path()), 1, "{action:?}");
    }
}

#[test]
fn wrong_bytes_of_the_right_length_are_left_to_the_reader() {
    let (registry, result) = with_fault(|path| Fault::new(path, Action::WrongByte));
    assert_ne!(result.unwrap(), noise());
    // There is nobody else to ask.
    let source = source(&registry, "app:1");
    let image = resolve(&source, &platform()).unwrap();
    read_blob(&source, &image, 0).unwrap();
    assert!(!source.reject(&image.layers[0].descriptor));
}

#[test]
fn a_missing_blob_is_named() {
    let registry = Registry::start();
    let image = image();
    registry.put_manifest("app", "1", image.manifest_type, image.manifest.clone());
    registry.put_blob(image.config.clone());
    let error = registry_error(read_layer(&source(&registry, "app:1"), 0).unwrap_err());
    assert!(matches!(&error, RegistryError::NotFound { url, .. } if url.contains(&layer_path())), "{error}");
}

#[test]
fn blobs_are_read_by_several_threads_at_once() {
    let registry = registry_with_image();
    let source = source(&registry, "app:1");
    let image = resolve(&source, &platform()).unwrap();
    std::thread::scope(|scope| {
        let readers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| read_blob(&source, &image, 0).unwrap())).collect();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), noise());
        }
    });
}
