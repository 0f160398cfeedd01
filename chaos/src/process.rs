//! What the system says of a process.

use std::fs;

/// Memory that it has now, in KiB.
pub(crate) fn memory_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Files that it has open, connections among them.
pub(crate) fn files(process: u32) -> Option<u64> {
    entries(&format!("/proc/{process}/fd"))
}

pub(crate) fn threads(process: u32) -> Option<u64> {
    entries(&format!("/proc/{process}/task"))
}

fn entries(folder: &str) -> Option<u64> {
    u64::try_from(fs::read_dir(folder).ok()?.count()).ok()
}

/// The process that has a connection over IPv4 open from this port of its own.
pub(crate) fn owner_of(port: u16) -> Option<u32> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let socket = socket_at(&table, port)?;
    let name = format!("socket:[{socket}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has_it = |id: &u32| {
        let files = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
        files
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|link| link.as_os_str() == name.as_str())
    };
    ids.into_iter().find(has_it)
}

/// The number of the socket with this port, in the system's table.
fn socket_at(table: &str, port: u16) -> Option<&str> {
    let port = format!(":{port:04X}");
    // `number: address:port address:port state queues timer retries user timeout socket …`
    let line = table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1)?.ends_with(&port).then_some(fields)
    })?;
    line.get(9).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_the_processs_that_has_it_open() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(owner_of(port), Some(std::process::id()));
        drop(listener);
        assert_eq!(owner_of(port), None);
    }
}
