//! What the loop asks for: name look-ups above all, for which it must not wait. A look-up may block a thread of the resolver; the
//! loop keeps its old answer.

use std::net::IpAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use crate::sidecar::figures::{Command, Commander, Request};

/// resolv.conf(5): two attempts of 5 s per server are the default; a name that takes longer is as good as unknown.
const WITHIN: Duration = Duration::from_secs(5);
/// More addresses than anyone tries in turn.
const ADDRESSES_MAX: usize = 16;

/// Serves the loop's requests until its end of the channel is gone.
pub(super) async fn serve(commander: Commander, mut requests: UnboundedReceiver<Request>, utilization: &Notify) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Resolve { request, host } => {
                let commander = commander.clone();
                tokio::spawn(async move {
                    commander.send(Command::Resolved { request, addresses: look_up(&host).await });
                });
            }
            Request::Utilization => utilization.notify_one(),
        }
    }
}

async fn look_up(host: &str) -> Result<Vec<IpAddr>, String> {
    match timeout(WITHIN, lookup_host((host, 0))).await {
        Ok(Ok(found)) => {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map(|address| address.ip()) {
                if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() { Err("the name has no address".to_owned()) } else { Ok(addresses) }
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {WITHIN:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gives_each_address_once_and_says_why_there_is_none() {
        assert_eq!(look_up("127.0.0.1").await, Ok(vec![IpAddr::from([127, 0, 0, 1])]));
        let local = look_up("localhost").await.unwrap();
        assert!(local.iter().all(IpAddr::is_loopback) && !local.is_empty(), "{local:?}");
        assert!(look_up("no such name").await.is_err());
    }
}
