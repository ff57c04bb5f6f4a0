//! Policies from profiles.

use super::profile::{AllowedDevices, AllowedFile, Profile, Recipe, RecipeError};
use super::*;

fn recipe(profile: Profile) -> Recipe {
    Recipe {
        profile,
        name: "sealed".parse().unwrap(),
        version: "0.0.1".parse().unwrap(),
        devices: AllowedDevices::Signed,
        files: Vec::new(),
        revoked: Vec::new(),
    }
}

fn file(operation: Operation, byte: u8) -> AllowedFile {
    AllowedFile { operation, digest: digest(byte), path: b"/usr/bin/a b\n"[..].into() }
}

fn text(recipe: &Recipe) -> String {
    String::from_utf8(recipe.text().unwrap()).unwrap()
}

#[test]
fn profiles_are_the_documented_policies() {
    let lines = |profile| recipe(profile).policy().unwrap().to_string();
    assert_eq!(
        lines(Profile::Early),
        "policy_name=sealed policy_version=0.0.1\nDEFAULT action=ALLOW\nDEFAULT op=EXECUTE action=DENY\n\
         op=EXECUTE boot_verified=TRUE action=ALLOW\nop=EXECUTE dmverity_signature=TRUE action=ALLOW\n"
    );
    assert_eq!(
        lines(Profile::Final),
        "policy_name=sealed policy_version=0.0.1\nDEFAULT action=ALLOW\nDEFAULT op=EXECUTE action=DENY\n\
         op=EXECUTE dmverity_signature=TRUE action=ALLOW\n"
    );
    assert_eq!(
        lines(Profile::Strict),
        "policy_name=sealed policy_version=0.0.1\nDEFAULT action=ALLOW\nDEFAULT op=EXECUTE action=DENY\n\
         DEFAULT op=FIRMWARE action=DENY\nDEFAULT op=KMODULE action=DENY\nDEFAULT op=KEXEC_IMAGE action=DENY\n\
         DEFAULT op=KEXEC_INITRAMFS action=DENY\nop=EXECUTE dmverity_signature=TRUE action=ALLOW\n\
         op=FIRMWARE dmverity_signature=TRUE action=ALLOW\nop=KMODULE dmverity_signature=TRUE action=ALLOW\n\
         op=KEXEC_IMAGE dmverity_signature=TRUE action=ALLOW\nop=KEXEC_INITRAMFS dmverity_signature=TRUE action=ALLOW\n"
    );
}

#[test]
fn a_host_has_no_initramfs_to_trust_nothing_for_kexec_and_ima_reads_from_signed_devices() {
    assert_eq!(
        text(&recipe(Profile::Host)),
        "policy_name=sealed policy_version=0.0.1\nDEFAULT action=ALLOW\nDEFAULT op=EXECUTE action=DENY\n\
         DEFAULT op=FIRMWARE action=DENY\nDEFAULT op=KMODULE action=DENY\nDEFAULT op=KEXEC_IMAGE action=DENY\n\
         DEFAULT op=KEXEC_INITRAMFS action=DENY\nDEFAULT op=POLICY action=DENY\nDEFAULT op=X509_CERT action=DENY\n\
         # Host: for a machine booted from a sealed image. What is executed, and the kernel's modules, firmware,\n\
         # certificates and IMA policies, must be on signed devices or be listed here; nothing is for kexec.\n\
         op=EXECUTE dmverity_signature=TRUE action=ALLOW\nop=FIRMWARE dmverity_signature=TRUE action=ALLOW\n\
         op=KMODULE dmverity_signature=TRUE action=ALLOW\nop=POLICY dmverity_signature=TRUE action=ALLOW\n\
         op=X509_CERT dmverity_signature=TRUE action=ALLOW\n"
    );
}

#[test]
fn a_policy_for_the_devices_of_one_image_allows_them_signed_and_no_others() {
    let mut recipe = recipe(Profile::Host);
    recipe.devices = AllowedDevices::These(vec![root(1), root(2), root(1)]);
    let policy = recipe.policy().unwrap();
    assert_eq!(policy.rules().len(), 2 * 5, "each device once");
    let line =
        format!("op=KMODULE dmverity_roothash=sha256:{} dmverity_signature=TRUE action=ALLOW\n", root(2));
    assert!(text(&recipe).contains(&line), "{}", text(&recipe));
    for (byte, signed, action) in [
        (1, true, Action::Allow),
        (2, true, Action::Allow),
        (1, false, Action::Deny),
        (3, true, Action::Deny),
    ] {
        let device = Dmverity { root_hash: Some(root(byte)), signed };
        assert_eq!(policy.executes_from(device).action, action, "{byte} {signed}");
        let facts = FileFacts { dmverity: Some(device), ..FileFacts::default() };
        assert_eq!(policy.evaluate(Operation::KernelModule, &facts).action, action);
        assert_eq!(policy.evaluate(Operation::KexecImage, &facts).action, Action::Deny);
    }
    recipe.revoked = vec![root(1)];
    assert!(recipe.policy().unwrap().denies_device(&root(1)), "denials come first");
    assert!(policy.remarks().is_empty(), "{:?}", policy.remarks());
    recipe.devices = AllowedDevices::These(Vec::new());
    assert_eq!(recipe.policy(), Err(RecipeError::AllowsNothing));
}

#[test]
fn every_profile_denies_unknown_code_and_its_text_is_its_policy() {
    for profile in Profile::ALL {
        let mut recipe = recipe(profile);
        recipe.revoked = vec![root(1)];
        recipe.files =
            vec![file(Operation::Execute, 2), file(Operation::KernelModule, 3), file(Operation::Execute, 2)];
        let policy = recipe.policy().unwrap();
        assert!(policy.denies_execute_by_default());
        assert_eq!(Policy::parse(text(&recipe)).unwrap(), policy);
        assert!(text(&recipe).contains("action=ALLOW # /usr/bin/a b\\n\n"), "{}", text(&recipe));
        let remarks = policy.remarks();
        assert!(remarks.iter().all(|remark| *remark == Remark::TrustsInitramfs), "{remarks:?}");
        assert_eq!(remarks.is_empty(), profile != Profile::Early);
    }
}

#[test]
fn a_revoked_device_is_denied_for_every_operation_though_it_is_signed() {
    for profile in Profile::ALL {
        let mut recipe = recipe(profile);
        recipe.revoked = vec![root(1), root(2)];
        let policy = recipe.policy().unwrap();
        let on = |byte| FileFacts {
            dmverity: Some(Dmverity { root_hash: Some(root(byte)), signed: true }),
            ..FileFacts::default()
        };
        for operation in Operation::ALL {
            let is_kexec = matches!(operation, Operation::KexecImage | Operation::KexecInitramfs);
            let wanted = match policy.operation_default(operation) {
                Some(_) if profile == Profile::Host && is_kexec => [Action::Deny; 3],
                Some(_) => [Action::Deny, Action::Deny, Action::Allow],
                None => [Action::Allow; 3],
            };
            assert_eq!(
                [1, 2, 3].map(|byte| policy.evaluate(operation, &on(byte)).action),
                wanted,
                "{operation}"
            );
        }
    }
}

#[test]
fn digests_alone_make_a_policy_but_nothing_does_not() {
    let mut recipe = recipe(Profile::Final);
    recipe.devices = AllowedDevices::None;
    assert_eq!(recipe.policy(), Err(RecipeError::AllowsNothing));
    recipe.files = vec![file(Operation::KernelModule, 1)];
    assert_eq!(recipe.policy(), Err(RecipeError::AllowsNothing));
    recipe.files.push(file(Operation::Execute, 1));
    assert_eq!(recipe.policy().unwrap().rules().len(), 1);
}

#[test]
fn comments_go_before_a_policy_becomes_too_long_and_then_it_is_refused() {
    let mut recipe = recipe(Profile::Final);
    let many = |count: u16| -> Vec<AllowedFile> {
        (0..count)
            .map(|number| {
                let mut digest = [0; 32];
                digest[..2].copy_from_slice(&number.to_be_bytes());
                AllowedFile { digest: ObjectId::sha256(digest), ..file(Operation::Execute, 0) }
            })
            .collect()
    };
    recipe.files = many(400);
    assert!(text(&recipe).contains("# /usr/bin"));
    recipe.files = many(570);
    assert!(!text(&recipe).contains('#'));
    assert!(text(&recipe).len() <= SIGNED_MAX_BYTES - SIGNATURE_ALLOWANCE_BYTES);
    recipe.files = many(580);
    let error = recipe.text().unwrap_err();
    assert!(matches!(error, RecipeError::TooLong { rules: 581, fitting: 575, .. }), "{error:?}");
    assert!(error.to_string().contains("65535"), "{error}");
}

#[test]
fn a_device_is_revoked_in_front_of_all_rules_and_the_version_goes_up() {
    let hash = RootHash::new([7; 32]);
    let text = "# mine\npolicy_name=sealed policy_version=0.0.65535 # the first\nDEFAULT action=ALLOW\n\
                DEFAULT op=EXECUTE action=DENY\nDEFAULT op=KMODULE action=DENY\n\n# devices\n\
                op=EXECUTE dmverity_signature=TRUE action=ALLOW\nop=KMODULE dmverity_signature=TRUE action=ALLOW\n";
    assert!(!Policy::parse(text.as_bytes()).expect("a policy").denies_device(&hash));
    let changed = Policy::revoke_in_text(text.as_bytes(), &hash).expect("it can be revoked");
    let changed = String::from_utf8(changed).expect("text");
    let expected = text.replace("0.0.65535", "0.1.0").replace(
        "op=EXECUTE dmverity_signature",
        &format!(
            "op=EXECUTE dmverity_roothash=sha256:{hash} action=DENY\n\
                 op=KMODULE dmverity_roothash=sha256:{hash} action=DENY\nop=EXECUTE dmverity_signature"
        ),
    );
    assert_eq!(changed, expected);
    let policy = Policy::parse(changed.as_bytes()).expect("a policy");
    assert!(policy.denies_device(&hash) && !policy.denies_device(&RootHash::new([8; 32])));
}

#[test]
fn a_policy_without_rules_gets_its_denials_and_one_at_its_end_no_higher_version() {
    let hash = RootHash::new([7; 32]);
    let text = "policy_name=all policy_version=1.2.3\nDEFAULT action=ALLOW\n";
    let changed = Policy::revoke_in_text(text.as_bytes(), &hash).expect("it can be revoked");
    assert_eq!(
        String::from_utf8_lossy(&changed),
        format!(
            "policy_name=all policy_version=1.2.4\nDEFAULT action=ALLOW\n\
             op=EXECUTE dmverity_roothash=sha256:{hash} action=DENY\n"
        )
    );
    let last = text.replace("1.2.3", "65535.65535.65535");
    let error = Policy::revoke_in_text(last.as_bytes(), &hash).expect_err("no higher version").to_string();
    assert!(error.contains("65535.65535.65535 is the highest"), "{error}");
    assert!(matches!(Policy::revoke_in_text(b"nothing", &hash), Err(RevokeError::Parse(_))));
    // The kernel ends lines there too, where nothing is inserted.
    let odd = text.replace('\n', "\r") + "op=EXECUTE action=ALLOW\r";
    assert!(matches!(Policy::revoke_in_text(odd.as_bytes(), &hash), Err(RevokeError::Layout(_))));
}
