use super::*;

fn table(signature_key: Option<&str>) -> VerityTable {
    VerityTable {
        data: DeviceNumber { major: 7, minor: 3 },
        hashes: DeviceNumber { major: 7, minor: 4 },
        data_blocks: 100,
        hash_start_block: 101,
        root_hash: "ab".repeat(32).parse().unwrap(),
        signature_key: signature_key.map(str::to_owned),
    }
}

#[test]
fn a_verity_table_is_written_as_dmsetup_would_take_it() {
    let hash = "ab".repeat(32);
    assert_eq!(
        table(None).target().to_string(),
        format!("0 800 verity 1 7:3 7:4 4096 4096 100 101 sha256 {hash} -")
    );
    assert_eq!(
        table(Some("a-key")).target().to_string(),
        format!("0 800 verity 1 7:3 7:4 4096 4096 100 101 sha256 {hash} - 2 root_hash_sig_key_desc a-key")
    );
}

#[test]
fn targets_survive_the_kernels_form_of_them() {
    let mut payload = [0; 512];
    let target = table(Some("key")).target();
    target.write(&mut payload).unwrap();
    assert_eq!(Target::read_all(&payload, 1), Some(vec![target.clone()]));
    // In an answer the second follows where the first says, counted from the first.
    let next = u32::from_ne_bytes(*payload[20..].first_chunk().unwrap()) as usize;
    assert!(next.is_multiple_of(8));
    let second = Target { first_sector: 800, parameters: String::new(), ..target.clone() };
    second.write(&mut payload[next..]).unwrap();
    assert_eq!(Target::read_all(&payload, 2), Some(vec![target.clone(), second]));
    assert_eq!(Target::read_all(&payload[..next], 2), None, "cut off");
    assert_eq!(Target::read_all(&payload[..60], 1), None, "without an end");
}

#[test]
fn a_target_that_does_not_fit_is_an_error() {
    let target = table(None).target();
    assert_eq!(target.write(&mut [0; 100]), Err(Errno::INVAL));
    let zero = Target { parameters: "a\0b".into(), ..target };
    assert_eq!(zero.write(&mut [0; 512]), Err(Errno::INVAL));
}

#[test]
fn names_that_device_mapper_or_its_nodes_could_not_have_are_refused() {
    for good in ["a", "sealpack-0123:signed", &"n".repeat(127)] {
        assert_eq!(good.parse::<DeviceName>().unwrap().as_str(), good);
    }
    for bad in ["", "a/b", "a b", "a\\b", "ä", "a\0", &"n".repeat(128)] {
        assert!(bad.parse::<DeviceName>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_list_of_devices_ends_where_it_says_so() {
    let entry = |device: u64, next: u32, name: &str| {
        let mut bytes = [&device.to_ne_bytes()[..], &next.to_ne_bytes(), name.as_bytes(), &[0]].concat();
        bytes.resize(if next == 0 { bytes.len() } else { next as usize }, 0xFF);
        bytes
    };
    let number = |minor| DeviceNumber { major: 254, minor };
    let both = [entry(254 << 8, 32, "one"), entry(254 << 8 | 1, 0, "two")].concat();
    assert_eq!(listed(&both), [("one".to_owned(), number(0)), ("two".to_owned(), number(1))]);
    assert_eq!(listed(&[0; 64]), []);
    assert_eq!(listed(&entry(254 << 8, 4096, "one")[..20]), [("one".to_owned(), number(0))]);
    assert_eq!(listed(&[]), []);
}

/// A device-mapper that answers nothing itself.
fn refusing(errno: Errno) -> (Kernel, OwnedFd) {
    (Kernel::with_hook(move |_| Some(errno)), tempfile::tempfile().unwrap().into())
}

#[test]
fn a_refused_table_is_explained() {
    let name: DeviceName = "sealpack-test".parse().unwrap();
    for (errno, word) in [
        (Errno::NOKEY, ".dm-verity"),
        (Errno::KEYREJECTED, "not one of this root hash"),
        (Errno::BADMSG, "PKCS#7"),
    ] {
        let (kernel, control) = refusing(errno);
        let mapper = DeviceMapper { kernel: &kernel, control };
        let error = mapper.load(&name, &table(Some("k"))).unwrap_err().to_string();
        assert!(error.contains("DM_TABLE_LOAD, sealpack-test, read-only, \"0 800 verity 1 7:3"), "{error}");
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_device_that_is_not_there_has_no_status() {
    let name: DeviceName = "sealpack-test".parse().unwrap();
    let (kernel, control) = refusing(Errno::NXIO);
    let mapper = DeviceMapper { kernel: &kernel, control };
    assert_eq!(mapper.status(&name), Ok(None));
    assert_eq!(mapper.table(&name), Ok(None));
    assert_eq!(mapper.target_status(&name), Ok(None));
    assert_eq!(mapper.remove(&name).unwrap_err().errno(), Errno::NXIO);
}

#[test]
fn who_may_only_look_is_told_from_who_may_change() {
    for (errno, may) in [(Errno::NXIO, Ok(true)), (Errno::PERM, Ok(false)), (Errno::ACCESS, Ok(false))] {
        let (kernel, control) = refusing(errno);
        assert_eq!(DeviceMapper { kernel: &kernel, control }.may_change(), may);
    }
    let (kernel, control) = refusing(Errno::IO);
    assert_eq!(DeviceMapper { kernel: &kernel, control }.may_change().unwrap_err().errno(), Errno::IO);
}

#[test]
fn only_one_can_have_device_mapper_to_itself() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let kernel = Kernel::new();
    let mapper = || DeviceMapper { kernel: &kernel, control: file.reopen().unwrap().into() };
    let (one, other) = (mapper(), mapper());
    let lock = one.lock(Duration::ZERO).unwrap();
    let error = other.lock(Duration::from_millis(10)).unwrap_err();
    assert!(error.to_string().ends_with("another process is busy with device-mapper"), "{error}");
    drop(lock);
    drop(other.lock(Duration::ZERO).unwrap());
    one.lock(Duration::ZERO).unwrap();
}

#[test]
fn a_target_that_the_kernel_does_not_know_is_no_error() {
    let (kernel, control) = refusing(Errno::INVAL);
    assert_eq!(DeviceMapper { kernel: &kernel, control }.has_target("verity"), Ok(false));
    let (kernel, control) = refusing(Errno::PERM);
    let error = DeviceMapper { kernel: &kernel, control }.has_target("verity").unwrap_err();
    assert!(error.to_string().contains("DM_GET_TARGET_VERSION, verity): EPERM"), "{error}");
}
