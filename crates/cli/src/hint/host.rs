//! What to do about sealed hosts.

use sealpack_host::disk::{BOOT_LOADER, DiskError};
use sealpack_host::esp::EspError;
use sealpack_host::image::ImageFileError;
use sealpack_host::modules::ModulesError;
use sealpack_host::signing::ProgramSigningError;
use sealpack_host::uki::{KernelError, UkiError};
use sealpack_host::upgrade::{NoChoice, Unfit, UpgradeError};
use sealpack_trust::authenticode::ImageSignatureError;

/// The advice for a UKI that is not made.
pub(super) fn of_uki(error: &UkiError) -> Option<String> {
    let hint = match error {
        UkiError::NotInPacks { .. } => "`sealpack seal` puts it into packs and signs them",
        UkiError::NotSealed { .. } => "`sealpack seal IMAGE --key KEY --cert CERT` seals it",
        UkiError::PackSigner { .. } => {
            "give the certificate of the key that sealed it with --certificate, or seal it with another key too"
        }
        UkiError::PolicyNotSigned { .. } => "`sealpack policy sign` signs it",
        UkiError::PolicySigner { .. } => "--policy-cert gives the certificate of the key that signed it",
        UkiError::PolicyAllows { .. } | UkiError::PolicyTrusts { .. } | UkiError::PolicyDenies { .. } => {
            "`sealpack policy new host` writes one for a sealed host"
        }
        UkiError::NoStub { .. } | UkiError::UnfitStub { .. } | UkiError::Stub { .. } => {
            "--stub takes systemd's own, linuxx64.efi.stub of systemd-boot-efi in Debian 13 or later"
        }
        UkiError::Init { .. } => "--init takes another one",
        UkiError::NoDependencies { .. } => "run `depmod VERSION` when the image is built",
        UkiError::Modules { source: ModulesError::Unknown { .. }, .. } => {
            "`modinfo --field filename NAME` tells how it is called"
        }
        UkiError::Kernel(error) => return of_kernel(error).map(str::to_owned),
        UkiError::File(error) => return of_image_file(error),
        UkiError::Sealing(error) => return super::of_sealing(error),
        UkiError::Node(error) => return super::of(error),
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The advice for a disk that is not made.
pub(super) fn of_disk(error: &DiskError) -> Option<String> {
    let hint = match error {
        DiskError::NotInPacks(_) => "`sealpack seal` puts it into packs and signs them",
        DiskError::Unsealed(_) => "`sealpack seal IMAGE --key KEY --cert CERT` seals it",
        DiskError::Damaged { .. } => {
            "`sealpack fsck --repair` sets aside what is damaged; pull the image again then"
        }
        DiskError::NotUki { .. } | DiskError::CommandLine { .. } => "`sealpack host build` makes them",
        DiskError::NotLoader { .. } | DiskError::UnfitLoader { .. } => {
            "take systemd's own, systemd-bootx64.efi of systemd-boot-efi in Debian 13 or later"
        }
        DiskError::NotSigned { .. } => {
            "`sealpack host build` signs a UKI with --key and --cert; sbsign signs a UKI or a boot loader"
        }
        DiskError::OtherImage { .. } => {
            "`sealpack host build` makes one of this image; other images on the disk are named beside it"
        }
        DiskError::OtherRootHash { .. } => "`sealpack host build` makes one of this image",
        DiskError::OtherLabel { .. } => "build them with the same --data",
        DiskError::TooSmall { .. } => "--size makes it larger",
        DiskError::NoSpace { .. } => "make room there, or have --output on another filesystem",
        DiskError::EspTooSmall { .. } => "give fewer UKIs: two are enough, of which one came up",
        DiskError::ToolMissing(_) => "it is of Debian's package e2fsprogs, as of others'",
        DiskError::Exists(_) => "--force replaces it",
        DiskError::Store(error) => return super::of(error),
        DiskError::Node(error) => return super::of(error),
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The advice for a host that stays with what it has.
pub(super) fn of_upgrade(error: &UpgradeError) -> Option<&'static str> {
    Some(match error {
        UpgradeError::UnderWay { .. } => "wait for it to end",
        UpgradeError::Forbidden { .. } => "who put the file there removes it when that is over",
        UpgradeError::ClockBehind { .. } => "set the clock: `timedatectl` shows whether it is kept",
        UpgradeError::Failed { .. } => {
            "`sealpack host status` says why the last boot was refused; --retry gives it its tries back"
        }
        UpgradeError::LastTry { .. } => {
            "`systemctl status boot-complete.target systemd-bless-boot.service` tells what it waits for"
        }
        UpgradeError::PutBack { .. } => "--retry has it started next again; a newer version is taken without",
        UpgradeError::NoFallback { .. } => "`sealpack host switch` brings another image",
        UpgradeError::FallbackMissing { .. } => "`sealpack pull` brings it back, by its digest",
        UpgradeError::Ambiguous { .. } => "rename one of the two: what begins alike cannot be told apart",
        UpgradeError::NotStaged => "`sealpack host upgrade --download-only` brings one",
        UpgradeError::StagedDamaged { .. } => "`sealpack host upgrade --download-only` brings it again",
        UpgradeError::NoChoice(NoChoice::None { .. }) => {
            "`sealpack host build --push` publishes it, or `sealpack host push`, where the boot key is"
        }
        UpgradeError::NoChoice(NoChoice::Several { .. }) => "--uki DIGEST takes one of them",
        UpgradeError::NoChoice(NoChoice::Unfit { unfit, .. }) => return of_unfit(unfit),
        UpgradeError::Esp(EspError::NotMounted { .. }) => {
            "mount it: docs/sealed-hosts.md has the line for /etc/fstab; its label is ESP"
        }
        UpgradeError::Esp(EspError::ReadOnly { .. }) => {
            "where the kernel has made it so, it is damaged: the kernel's log says why, fsck.fat mends it"
        }
        UpgradeError::Esp(EspError::Full { .. }) => {
            "remove from it what is no UKI, or a UKI that is not needed"
        }
        UpgradeError::Esp(EspError::NoText { .. } | EspError::TooMany { .. }) => {
            "remove, or rename, what does not belong there"
        }
        UpgradeError::Esp(EspError::Exists { .. }) => "fsck.fat tells whether a power cut left it twice",
        UpgradeError::Firmware(_) => {
            "efivarfs has to be mounted at /sys/firmware/efi/efivars, and root may write it"
        }
        UpgradeError::Store(error) => return super::of_store(error),
        _ => return None,
    })
}

/// The advice where no UKI is fit: that for the first that something can be done about.
fn of_unfit(unfit: &[(String, Unfit)]) -> Option<&'static str> {
    unfit.iter().find_map(|(_, why)| match why {
        Unfit::Words { .. } => Some("--allow-words takes it all the same: what it says is signed"),
        Unfit::Stranger { .. } => Some(
            "sign it with a key that the firmware knows too, or have the firmware know this one first (docs/keys.md); \
             --allow-signer takes it all the same",
        ),
        Unfit::OtherSigner { .. } => {
            Some("sign it with the key of what runs too (docs/keys.md); --allow-signer takes it all the same")
        }
        Unfit::Older { .. } => Some("--allow-older takes it all the same"),
        Unfit::Other(_) | Unfit::Newer { .. } => {
            Some("`sealpack host build --push` publishes one of this image, where the boot key is")
        }
        _ => None,
    })
}

const fn of_kernel(error: &KernelError) -> Option<&'static str> {
    match error {
        KernelError::None | KernelError::NotForFirmware { .. } => {
            Some("a host's image has a kernel of its own, such as Debian's linux-image-amd64")
        }
        KernelError::NoSuch { .. } => Some("give one of these with --kernel, or none for the newest"),
        KernelError::Without { .. } => {
            Some("install another kernel in the image: Debian's, from 6.12 on, have all that is needed")
        }
        KernelError::IpeNotUsed { .. } => {
            Some("--append 'lsm=…,ipe' names the security modules, with ipe among them")
        }
        _ => None,
    }
}

pub(super) fn of_image_file(error: &ImageFileError) -> Option<String> {
    match error {
        ImageFileError::Missing { path, .. } if path == BOOT_LOADER => {
            Some("install systemd-boot-efi in the image, or give a signed one with --boot-loader".to_owned())
        }
        ImageFileError::Missing { path, .. } if path.ends_with(".stub") => {
            Some("install systemd-boot-efi in the image, or give the stub with --stub".to_owned())
        }
        ImageFileError::Missing { path, .. } if path.ends_with("/init") => {
            Some("install Sealpack in the image, or give its first process with --init".to_owned())
        }
        ImageFileError::Content(error) => super::of_executables(error).map(str::to_owned),
        _ => None,
    }
}

/// The advice for a program that is not signed.
pub(super) const fn of_signing(error: &ProgramSigningError) -> Option<&'static str> {
    match error {
        ProgramSigningError::Signature(ImageSignatureError::OtherImage { .. }) => {
            Some("sign the file as it is, without changing it afterwards")
        }
        ProgramSigningError::Signature(ImageSignatureError::Signer(_)) => {
            Some("--cert gives the certificate of the key that signed it")
        }
        _ => None,
    }
}
