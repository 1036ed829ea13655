//! What every request can reach.

use crate::accounts::Accounts;
use crate::cookies::Cookies;
use crate::keys::Keys;
use crate::sessions::Sessions;
use crate::signals::Signals;
use service::origin::PublicOrigin;
use service::proxies::Network;
use std::sync::Arc;

/// The running service.
pub struct App {
    pub accounts: Accounts,
    pub sessions: Sessions,
    pub keys: Arc<Keys>,
    pub signals: Arc<Signals>,
    pub cookies: Cookies,
    pub public_origins: Vec<PublicOrigin>,
    pub trusted_proxies: Vec<Network>,
}
