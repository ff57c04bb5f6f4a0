use super::*;

/// As depmod writes it for Debian's cloud kernels, but for what is left out.
const DEPENDENCIES: &str = "\
kernel/drivers/block/loop.ko.xz:
kernel/fs/erofs/erofs.ko.xz: kernel/lib/libcrc32c.ko.xz
kernel/lib/libcrc32c.ko.xz:
kernel/fs/overlayfs/overlay.ko.xz:
kernel/drivers/md/dm-mod.ko.xz:
kernel/drivers/md/dm-bufio.ko.xz: kernel/drivers/md/dm-mod.ko.xz
kernel/lib/reed_solomon/reed_solomon.ko.xz:
kernel/drivers/md/dm-verity.ko.xz: kernel/drivers/md/dm-bufio.ko.xz kernel/drivers/md/dm-mod.ko.xz kernel/lib/reed_solomon/reed_solomon.ko.xz
kernel/drivers/scsi/sd_mod.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz kernel/drivers/scsi/scsi_common.ko.xz
kernel/drivers/scsi/scsi_mod.ko.xz: kernel/drivers/scsi/scsi_common.ko.xz
kernel/drivers/scsi/scsi_common.ko.xz:
kernel/arch/x86/crypto/sha256-ssse3.ko.xz:
kernel/arch/x86/crypto/crc32c-intel.ko.xz:
kernel/drivers/ata/ahci.ko.xz: kernel/drivers/ata/libata.ko.xz
kernel/drivers/ata/libata.ko.xz:
kernel/net/qla2xxx.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz kernel/drivers/scsi/scsi_common.ko.xz
";
const BUILT_IN: &str = "kernel/fs/ext4/ext4.ko\nkernel/drivers/virtio/virtio_pci.ko\n";
const SOFT: &str = "# comment\nsoftdep cifs gcm\nsoftdep libcrc32c pre: crc32c post: other\n";
const ALIASES: &str = "\
alias crypto-sha256 sha256_ssse3
alias cpu:type:x86,ven*fam*mod*:feature:*0089* sha256_ssse3
alias crc32c crc32c_intel
alias cpu:type:x86,ven*fam*mod*:feature:*0094* crc32c_intel
alias pci:v*d*sv*sd*bc01sc06i01* ahci
alias pci:v00001234d* ahci
alias block-major-8-* sd_mod
alias scsi:t-0x00* sd_mod
alias pci:v* qla2xxx
";

fn index(dependencies: &str, built_in: &str) -> Index {
    let contents = [dependencies, built_in, SOFT, ALIASES].map(str::as_bytes);
    Index::parse(contents).unwrap()
}

fn order_of(choice: &Choice) -> String {
    choice.order.to_string()
}

#[test]
fn what_a_module_needs_is_loaded_before_it() {
    let choice = Choice::of(&index(DEPENDENCIES, BUILT_IN), &[]).unwrap();
    assert_eq!(
        order_of(&choice),
        "[cpu:type:x86,ven*fam*mod*:feature:*0089*]\n-sha256-ssse3.ko.xz\n\
         [cpu:type:x86,ven*fam*mod*:feature:*0094*]\n-crc32c-intel.ko.xz\n\
         []\nloop.ko.xz\ndm-mod.ko.xz\nreed_solomon.ko.xz\ndm-bufio.ko.xz\ndm-verity.ko.xz keyring_unsealed=1\n\
         libcrc32c.ko.xz\nerofs.ko.xz\noverlay.ko.xz\n\
         [pci:v*d*sv*sd*bc01sc06i01* pci:v00001234d*]\n-libata.ko.xz\n-ahci.ko.xz async_probe=1\n-scsi_common.ko.xz\n\
         -scsi_mod.ko.xz\n-sd_mod.ko.xz async_probe=1\n"
    );
    assert_eq!(choice.paths["loop.ko.xz"], "kernel/drivers/block/loop.ko.xz");
    assert!(choice.words.is_empty());
}

/// `libcrc32c` asks for the fastest `crc32c` to be loaded before it, which refuses on a processor without SSE4.2: no host
/// started in an emulator.
#[test]
fn what_is_only_loaded_before_a_needed_module_may_refuse() {
    let choice = Choice::of(&index(DEPENDENCIES, BUILT_IN), &[]).unwrap();
    let is_optional =
        |file: &str| choice.order.modules().find(|module| module.file() == file).unwrap().is_optional();
    assert!(is_optional("crc32c-intel.ko.xz"));
    assert!(!is_optional("libcrc32c.ko.xz") && !is_optional("reed_solomon.ko.xz"));
}

#[test]
fn a_module_that_is_asked_for_comes_last_with_what_it_needs() {
    let index = index(DEPENDENCIES, BUILT_IN);
    let with = |name: &str| Choice::of(&index, &[name.to_owned()]);
    assert!(
        order_of(&with("qla2xxx").unwrap())
            .ends_with("\n[]\n-scsi_common.ko.xz\n-scsi_mod.ko.xz\n-qla2xxx.ko.xz\n")
    );
    assert_eq!(with("virtio-pci").unwrap(), Choice::of(&index, &[]).unwrap());
    assert_eq!(with("qla").unwrap_err().to_string(), "the kernel has no module \"qla\"");
}

#[test]
fn a_kernel_without_what_every_host_needs_is_refused_by_its_name() {
    let without = DEPENDENCIES.replace("kernel/fs/erofs/erofs.ko.xz:", "kernel/fs/other.ko:");
    let error = Choice::of(&index(&without, BUILT_IN), &[]).unwrap_err();
    assert_eq!(error, ModulesError::Missing { name: "erofs" });
    let error = Choice::of(&index(DEPENDENCIES, ""), &[]).unwrap_err();
    assert_eq!(error, ModulesError::Missing { name: "ext4" });
}

/// A driver that is built in finds its devices without anybody's help; what makes disks of them need not be.
#[test]
fn what_makes_disks_is_always_loaded_beside_a_driver_that_is_built_in() {
    let without = DEPENDENCIES.replace("kernel/drivers/ata/ahci.ko.xz", "kernel/other.ko");
    let choice =
        Choice::of(&index(&without, &format!("{BUILT_IN}kernel/drivers/ata/ahci.ko\n")), &[]).unwrap();
    assert!(
        order_of(&choice)
            .ends_with("\n[]\n-scsi_common.ko.xz\n-scsi_mod.ko.xz\n-sd_mod.ko.xz async_probe=1\n"),
        "{choice:?}"
    );
}

#[test]
fn parameters_of_what_is_built_in_go_to_the_command_line() {
    let all = "loop dm-mod dm-verity erofs overlay ext4".replace(' ', ".ko\n") + ".ko";
    let choice = Choice::of(&index("", &all), &[]).unwrap();
    assert_eq!(choice.words, ["dm_verity.keyring_unsealed=1"]);
    assert!(choice.paths.is_empty() && choice.order.groups().is_empty());
}

#[test]
fn a_list_that_nobody_wrote_with_depmod_is_refused() {
    for text in ["kernel/x.ko\n", "../x.ko:\n", "/x.ko:\n", "kernel//x.ko:\n"] {
        let error = Index::parse([text.as_bytes(), b"", b"", b""]).unwrap_err().to_string();
        assert!(error.starts_with("line 1 of modules.dep is not as depmod writes it"), "{error}");
    }
}

#[test]
fn modules_that_need_each_other_end() {
    let mutual = format!("{DEPENDENCIES}a.ko: b.ko\nb.ko: a.ko\n");
    Choice::of(&index(&mutual, BUILT_IN), &["a".to_owned()]).unwrap();
    let chain: String = (0..200).map(|number| format!("m{number}.ko: m{}.ko\n", number + 1)).collect();
    let error = Choice::of(&index(&format!("{DEPENDENCIES}{chain}"), BUILT_IN), &["m0".to_owned()]);
    assert!(matches!(error, Err(ModulesError::TooDeep { .. })), "{error:?}");
}
