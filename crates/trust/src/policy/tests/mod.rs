mod decisions;
mod recipes;
mod texts;

use super::*;

fn policy(rules: &str) -> Policy {
    Policy::parse(format!("policy_name=test policy_version=1.0.0\nDEFAULT action=ALLOW\n{rules}")).unwrap()
}

fn digest(byte: u8) -> ObjectId {
    ObjectId::sha256([byte; 32])
}

fn root(byte: u8) -> RootHash {
    RootHash::new([byte; 32])
}

fn hex(byte: u8) -> String {
    root(byte).to_string()
}
