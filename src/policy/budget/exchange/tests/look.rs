//! Looks: what a boot takes, and what a leader believes of it.

use super::*;
use Refusal::{
    BadSignature, Forged, LowerEpoch, Malformed, OtherBoot, OtherPod, OtherPool, OtherStatement, Oversized, UnknownKey,
    UnsupportedVersion,
};

fn open(bytes: &[u8]) -> Result<VerifiedLook, Refusal> {
    VerifiedLook::open(bytes, &keys())
}

/// A boot that follows epoch 3.
fn following() -> Boot {
    Boot::new(pool(), pod(), BootId([0xb0; 16]), Some(discovery().fence()))
}

#[test]
fn a_look_moves_nothing_and_its_answer_names_it() {
    let boot = following();
    for number in [3, 4] {
        let sent = Look { epoch: epoch(number), ..look() }.sign(&key(1).0);
        let looking = boot.look(&open(&sent.bytes).unwrap()).unwrap();
        let answer = boot.looked(&looking, looked().sighting);
        assert_eq!(Looked::verify(&sent, &answer.encode(&reply_key()), &reply_keys()), Ok(answer.clone()));
        let next = Look { id: 78, ..look() }.sign(&key(1).0);
        assert_eq!(Looked::verify(&next, &answer.encode(&reply_key()), &reply_keys()), Err(OtherStatement));
        assert_eq!(boot, following());
    }
    let new = Boot::new(pool(), pod(), BootId([0xb0; 16]), None);
    assert!(new.look(&open(&look().sign(&key(1).0).bytes).unwrap()).is_ok(), "it follows nobody, and needs not");
}

#[test]
fn a_boot_says_why_it_does_not_look() {
    let table = [
        ("another pool", Look { pool: PoolName::new("shop/other").unwrap(), ..look() }, OtherPool),
        ("another pod", Look { pod: PodUid::new("other").unwrap(), ..look() }, OtherPod),
        ("another boot", Look { boot: BootId([1; 16]), ..look() }, OtherBoot),
        ("an older leader", Look { epoch: epoch(2), ..look() }, LowerEpoch),
    ];
    for (what, look, reason) in table {
        assert_eq!(following().look(&open(&look.sign(&key(1).0).bytes).unwrap()), Err(reason), "{what}");
    }
    let signer = key(1).0;
    let good = look().sign(&signer).bytes;
    let plain = &good[..good.len() - 72];
    let discovery = discovery().sign(&signer).bytes;
    let made = |kind: u8, bytes: &[u8]| [&bytes[..5], &[kind], &bytes[6..]].concat();
    let table = [
        ("longer than the cap", vec![0; LOOK_MAX + 1], Oversized),
        ("a discovery", discovery.clone(), Malformed("kind")),
        ("a discovery made a look", made(6, &discovery), BadSignature),
        ("another's", look().sign(&key(3).0).bytes, UnknownKey),
        ("no signature", plain[..60].to_vec(), Malformed("signature")),
        ("without an id", signer.sign(plain[..plain.len() - 11].to_vec()), Malformed("look")),
        ("a field that must be understood", signer.sign([plain, &field(0x7f, b"")].concat()), UnsupportedVersion),
    ];
    for (what, bytes, reason) in table {
        assert_eq!(open(&bytes), Err(reason), "{what}");
    }
    // Nor is a look an order of any kind.
    assert_eq!(Verified::open(&good, &keys()), Err(Malformed("kind")));
    assert_eq!(Verified::open(&made(2, &good), &keys()), Err(BadSignature));
}

#[test]
fn a_leader_says_why_it_does_not_believe_a_sighting() {
    let (sent, keys) = (look().sign(&key(1).0), reply_keys());
    let good = Looked { digest: sent.digest, ..looked() };
    let bytes = |looked: Looked| looked.encode(&reply_key());
    let plain = unsealed(&bytes(good.clone()));
    let find = |tag, length: u16| {
        let header = [&[tag][..], &length.to_be_bytes()].concat();
        plain.windows(3).position(|at| at == header).unwrap() + 3
    };
    let with = |at: usize, put: &[u8]| {
        let mut plain = plain.clone();
        plain[at..at + put.len()].copy_from_slice(put);
        reply_key().seal(plain)
    };
    let stranger = ReplyKey::derive(&SECRETS[0], &PoolName::new("other/orders").unwrap());
    let table = [
        ("longer than the cap", vec![0; LOOKED_MAX + 1], Oversized),
        ("an answer", answer(Said::Final).encode(&reply_key()), Malformed("kind")),
        ("another tenant's", good.encode(&stranger), Forged),
        ("another pod", bytes(Looked { pod: PodUid::new("x").unwrap(), ..good.clone() }), OtherPod),
        ("another boot", bytes(Looked { boot: BootId([1; 16]), ..good.clone() }), OtherBoot),
        ("another look", bytes(looked()), OtherStatement),
        ("cut or not", with(find(25, 1), &[2]), Malformed("cut")),
        ("no pid", with(find(26, 36), &[0; 4]), Malformed("rows")),
        ("out of order", with(find(26, 36), &[0x7f; 4]), Malformed("rows")),
        ("a role's id cut short", with(find(20, 24) - 1, &[23]), Malformed("upstream")),
    ];
    for (what, bytes, reason) in table {
        assert_eq!(Looked::verify(&sent, &bytes, &keys), Err(reason), "{what}");
    }
    assert_eq!(Looked::verify(&sent, &bytes(good.clone()), &keys), Ok(good));
}

#[test]
fn a_list_that_lacks_rows_says_so() {
    let full = Rows::new((1..=4_096).map(backend));
    assert_eq!((full.as_slice().len(), full.is_cut()), (ROWS_MAX, false));
    let more = Rows::new((1..=4_097).map(backend));
    assert_eq!((more.as_slice(), more.is_cut()), (full.as_slice(), true));
    let twice = Rows::new([7, 7].map(backend));
    assert_eq!((twice.as_slice(), twice.is_cut()), (&[backend(7)][..], false));
    assert!(Rows::new([backend(0)]).is_cut(), "a row that can't be told");
}
