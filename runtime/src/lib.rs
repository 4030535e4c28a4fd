//! What every Flotilla process shares: client, work queue, backoff, leases, metrics, telemetry.
