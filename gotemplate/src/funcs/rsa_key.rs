//! New RSA keys.
//!
//! Owns the search for the two primes, each on a thread of its own: it is nearly all of the work,
//! and half of the time that charts with certificates take. Start at [`new_rsa_key`].

use chacha20::ChaCha20Rng;
use crypto_primes::hazmat::{SetBits, SmallFactorsSieveFactory};
use crypto_primes::{Flavor, is_prime, sieve_and_find};
use rand_core::SeedableRng as _;
use rsa::{BoxedUint, RsaPrivateKey};

use super::Cx;
use crate::error::FuncError;

/// The exponent that Go's `rsa.GenerateKey` uses.
const EXPONENT: u64 = 65_537;
/// Of 65,537 primes one is of no use with this exponent: more than a few tries mean that something
/// else is wrong.
const TRIES: usize = 8;

/// A key with a modulus of `bits` bits, an even number. The host gives the seeds of the search, so
/// that a render can be repeated.
pub(super) fn new_rsa_key(cx: &Cx<'_>, bits: u32) -> Result<RsaPrivateKey, FuncError> {
    let mut failure = String::new();
    for _ in 0..TRIES {
        let [first, second] = std::array::from_fn(|_| {
            let mut seed = [0; 32];
            cx.host().fill_random(&mut seed);
            seed
        });
        let (p, q) = std::thread::scope(|scope| {
            let other = scope.spawn(|| prime(second, bits / 2));
            (prime(first, bits / 2), other.join())
        });
        let q = q.map_err(|_| "error generating rsa key: the search for a prime panicked")?;
        match RsaPrivateKey::from_p_q(p?, q?, BoxedUint::from(EXPONENT)) {
            Ok(key) => return Ok(key),
            Err(error) => failure = error.to_string(),
        }
    }
    Err(format!("error generating rsa key: {failure}").into())
}

/// A prime whose two highest bits are set, so that the product of two has all of its bits.
fn prime(seed: [u8; 32], bits: u32) -> Result<BoxedUint, String> {
    let mut random = ChaCha20Rng::from_seed(seed);
    let sieve = SmallFactorsSieveFactory::new(Flavor::Any, bits, SetBits::TwoMsb);
    let sieve = sieve.map_err(|error| error.to_string())?;
    let found = sieve_and_find(&mut random, sieve, |_, one| is_prime(Flavor::Any, one));
    let found = found.map_err(|error| error.to_string())?;
    found.ok_or_else(|| format!("no prime of {bits} bits was found"))
}
