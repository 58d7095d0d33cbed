//! Who this run of the sidecar is. A pod's address may be reused, a container may restart and a node may reboot: an answer that
//! names the pod's UID and the boot can be tied to the one that gave it.

use std::{fs, io};

use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use super::charge::BootId;

/// Version of the exchange between operator and sidecar that this build speaks.
pub const PROTOCOL: u32 = 1;

const KERNEL_BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// One run of a sidecar process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// 16 random bytes.
    pub id: BootId,
    /// UID of the pod.
    pub pod_uid: String,
    /// Id of the kernel's boot (random(4)): with another one, every process of an earlier boot is gone.
    pub kernel_boot: [u8; 16],
    /// When the process started, by the wall clock.
    pub started: Timestamp,
}

/// The answer of `GET /hello`. Unsigned: it says whom to talk to, and proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// UID of the pod.
    pub pod: String,
    /// See [`Boot::id`], in hex.
    pub boot: String,
    /// Highest epoch of a leader that this pod has obeyed; 0 before the first.
    pub epoch: u64,
    /// See [`PROTOCOL`].
    pub protocol: u32,
    /// Version of Weir.
    pub version: String,
}

/// Why there is no boot.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The kernel gave no random bytes.
    #[error("cannot draw a boot id from the kernel's random source")]
    Draw,
    /// `/proc` is not mounted or not readable.
    #[error("cannot read {KERNEL_BOOT_ID:?}")]
    ReadKernelBootId(#[source] io::Error),
    /// The kernel's boot id is no UUID.
    #[error("cannot understand {KERNEL_BOOT_ID:?}")]
    ParseKernelBootId,
}

impl Boot {
    /// A new boot in the pod with this UID, started at `started`.
    pub fn new(pod_uid: String, started: Timestamp) -> Result<Self, BootError> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| BootError::Draw)?;
        let kernel_boot = fs::read_to_string(KERNEL_BOOT_ID).map_err(BootError::ReadKernelBootId)?;
        let kernel_boot = uuid(kernel_boot.trim_end()).ok_or(BootError::ParseKernelBootId)?;
        Ok(Self { id: BootId(random), pod_uid, kernel_boot, started })
    }

    /// What this boot says of itself.
    pub fn hello(&self, epoch: u64) -> Hello {
        Hello {
            pod: self.pod_uid.clone(),
            boot: self.id.to_string(),
            epoch,
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    BootId::parse(&text.replace('-', "")).map(|BootId(bytes)| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_boots_of_a_pod_differ_and_share_a_kernel() {
        let [one, two] = [(); 2].map(|()| Boot::new("uid".to_owned(), Timestamp::UNIX_EPOCH).unwrap());
        assert_ne!(one.id, two.id);
        assert_eq!(one.kernel_boot, two.kernel_boot);
        assert_eq!(one.id.to_string().len(), 32);
        assert_eq!(
            serde_json::to_value(one.hello(7)).unwrap(),
            serde_json::json!({"pod": "uid", "boot": one.id.to_string(), "epoch": 7, "protocol": 1, "version": env!("CARGO_PKG_VERSION")})
        );
    }
}
