//! Which HTTP proxy a request takes.
//!
//! Owns the reading of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` (either case), by the rules Go's
//! net/http has. Start at [`for_url`].

use std::net::IpAddr;

use http::Uri;

/// The proxy for `url`, or `None` for a direct connection. `env` reads one variable.
pub fn for_url(url: &Uri, env: &dyn Fn(&str) -> Option<String>) -> Option<Uri> {
    let read = |name: &str| {
        let either = env(name).or_else(|| env(&name.to_lowercase()));
        either.map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())
    };
    let host = url.host()?.trim_start_matches('[').trim_end_matches(']').to_lowercase();
    let is_https = url.scheme_str() == Some("https");
    let proxy = read(if is_https { "HTTPS_PROXY" } else { "HTTP_PROXY" })?;
    let port = url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    if is_local(&host) || read("NO_PROXY").is_some_and(|list| is_excepted(&list, &host, port)) {
        return None;
    }
    let proxy = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
    proxy.parse().ok()
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// `*`, an address, a CIDR range, a domain (it and all below), `.domain` (all below), each with an
/// optional `:port`.
fn is_excepted(list: &str, host: &str, port: u16) -> bool {
    list.split(',').map(|entry| entry.trim().to_lowercase()).filter(|e| !e.is_empty()).any(
        |entry| {
            if entry == "*" {
                return true;
            }
            if let Some((network, bits)) = entry.split_once('/') {
                return in_network(host, network, bits);
            }
            let (name, wanted_port) = match entry.rsplit_once(':') {
                Some((name, text)) if !name.contains(':') => (name.to_owned(), text.parse().ok()),
                _ => (entry, None),
            };
            if wanted_port.is_some_and(|wanted: u16| wanted != port) {
                return false;
            }
            let name = name.trim_start_matches("*.").to_owned();
            match name.strip_prefix('.') {
                Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
                None => {
                    host == name || host.strip_suffix(&name).is_some_and(|rest| rest.ends_with('.'))
                }
            }
        },
    )
}

fn in_network(host: &str, network: &str, bits: &str) -> bool {
    let (Ok(host), Ok(network), Ok(bits)) =
        (host.parse::<IpAddr>(), network.parse::<IpAddr>(), bits.parse::<u32>())
    else {
        return false;
    };
    match (host, network) {
        (IpAddr::V4(host), IpAddr::V4(network)) if bits <= 32 => {
            let shift = 32 - bits;
            let cut = |ip: u32| ip.checked_shr(shift).unwrap_or(0);
            cut(host.to_bits()) == cut(network.to_bits())
        }
        (IpAddr::V6(host), IpAddr::V6(network)) if bits <= 128 => {
            let shift = 128 - bits;
            let cut = |ip: u128| ip.checked_shr(shift).unwrap_or(0);
            cut(host.to_bits()) == cut(network.to_bits())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(url: &str, no_proxy: &str) -> Option<String> {
        let env = |name: &str| match name {
            "HTTPS_PROXY" => Some("proxy:3128".to_owned()),
            "NO_PROXY" => Some(no_proxy.to_owned()),
            _ => None,
        };
        for_url(&url.parse().unwrap(), &env).map(|uri| uri.to_string())
    }

    #[test]
    fn exceptions_follow_go() {
        let through = Some("http://proxy:3128/".to_owned());
        assert_eq!(proxy("https://git.example.com/x", ""), through);
        assert_eq!(proxy("https://git.example.com/x", "example.com"), None);
        assert_eq!(proxy("https://git.example.com/x", ".example.com"), None);
        assert_eq!(proxy("https://example.com/x", ".example.com"), through);
        assert_eq!(proxy("https://notexample.com/x", "example.com"), through);
        assert_eq!(proxy("https://10.43.0.1:443/", "10.0.0.0/8"), None);
        assert_eq!(proxy("https://11.43.0.1/", "10.0.0.0/8"), through);
        assert_eq!(proxy("https://a.svc:6443/", "a.svc:443"), through);
        assert_eq!(proxy("https://127.0.0.1:6443/", ""), None);
        assert_eq!(proxy("http://git.example.com/x", ""), None);
    }
}
