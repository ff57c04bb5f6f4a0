//! The keys of a sealed host, one for each thing that is signed, and firmware that trusts them with Secure Boot on.

use crate::kernels::Generation;
use crate::keys::{EMPTY_VARIABLES, Key, OWNER};
use crate::programs::Programs;
use anyhow::Result;
use sealpack_tests::command::{run, stdout};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The keys, all made by `sealpack key new`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The firmware's owner's: PK.
    pub platform: Key,
    /// Who may change what the firmware trusts: KEK.
    pub exchange: Key,
    /// Signs boot loader and UKI.
    pub boot: Key,
    /// Signs policies.
    pub policy: Key,
    /// Signs the root hashes of images.
    pub packs: Key,
}

impl Keys {
    /// Those of the tests, made when they are not there yet.
    ///
    /// # Errors
    /// If `sealpack` fails.
    pub fn of_tests(programs: &Programs) -> Result<Self> {
        let key = |role: &str| Key::for_host(role, programs);
        Ok(Self {
            platform: key("platform")?,
            exchange: key("exchange")?,
            boot: key("boot")?,
            policy: key("policy")?,
            packs: key("packs")?,
        })
    }

    /// Those that follow: others for all that is signed again and again.
    ///
    /// # Errors
    /// If `sealpack` fails.
    pub fn following(&self, programs: &Programs) -> Result<Self> {
        let key = |role: &str| Key::for_host(&format!("{role}-next"), programs);
        Ok(Self { boot: key("boot")?, policy: key("policy")?, packs: key("packs")?, ..self.clone() })
    }

    /// Those that have to be in the firmware's `db`: the kernel takes policies signed by a key that is there only. So it
    /// takes packs before it has the keyring `.dm-verity`.
    pub(super) fn db(&self, generation: Generation) -> Vec<&Key> {
        match generation {
            Generation::V6_12 => vec![&self.boot, &self.policy, &self.packs],
            Generation::V7 => vec![&self.boot, &self.policy],
        }
    }

    /// Writes `PK.auth`, `KEK.auth` and `db.auth` with these keys and no other into a directory, each signed by who may change
    /// that variable.
    ///
    /// # Errors
    /// If efitools fail.
    pub fn write_auth(&self, generation: Generation, dir: &Path) -> Result<()> {
        let (platform, exchange) = (&self.platform, &self.exchange);
        let variables = [
            ("PK", vec![platform], platform),
            ("KEK", vec![exchange], platform),
            ("db", self.db(generation), exchange),
        ];
        for (variable, keys, signer) in variables {
            let mut lists = Vec::new();
            for key in keys {
                let list = dir.join("list");
                let mut to_list = Command::new("cert-to-efi-sig-list");
                run(to_list.args(["-g", OWNER]).arg(key.certificate()).arg(&list))?;
                lists.extend(fs::read(list)?);
            }
            let list = dir.join("lists");
            fs::write(&list, lists)?;
            let mut sign = Command::new("sign-efi-sig-list");
            sign.args(["-g", OWNER, "-k"]).arg(signer.key()).arg("-c").arg(signer.certificate());
            run(sign.arg(variable).arg(list).arg(dir.join(format!("{variable}.auth"))))?;
        }
        Ok(())
    }

    /// Writes firmware variables to `target` with these keys and no other, and Secure Boot on.
    ///
    /// # Errors
    /// If virt-fw-vars fails.
    pub fn write_variables(&self, generation: Generation, target: &Path) -> Result<()> {
        let mut command = self.writing_variables(generation);
        command.arg("--sb").args(["--set-pk", OWNER]).arg(self.platform.certificate());
        command.args(["--add-kek", OWNER]).arg(self.exchange.certificate());
        stdout(command.arg("--output").arg(target)).map(drop)
    }

    /// The same keys for the kernel, and Secure Boot off for want of an owner: the kernel does not lock itself down then.
    ///
    /// # Errors
    /// If virt-fw-vars fails.
    pub fn write_open_variables(&self, generation: Generation, target: &Path) -> Result<()> {
        stdout(self.writing_variables(generation).arg("--output").arg(target)).map(drop)
    }

    fn writing_variables(&self, generation: Generation) -> Command {
        let mut command = Command::new("virt-fw-vars");
        command.args(["--input", EMPTY_VARIABLES]);
        for key in self.db(generation) {
            command.args(["--add-db", OWNER]).arg(key.certificate());
        }
        command
    }
}
