// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import MasqKernel

extension Arguments.Source {
    /// Reads the configuration, and what the kernel's sysctls say in its place.
    ///
    /// - Parameter acceptsPipe: whether the file may be a pipe: at a reload the daemon would stand still for
    ///   it.
    /// - Returns: the configuration, absent where a diagnostic is an error, and all diagnostics.
    func read(acceptsPipe: Bool = true) -> Configuration.Reading {
        var reading = readText(acceptsPipe: acceptsPipe)
        if reading.configuration?.conntrack.timeouts.isEmpty == false {
            reading.configuration?.conntrack.systemTimeouts = Sysctl.connectionTimeouts()
        }
        return reading
    }

    private func readText(acceptsPipe: Bool) -> Configuration.Reading {
        switch self {
        case .commandLine(let outInterfaces, let sources):
            return Configuration.read(outInterfaces: outInterfaces, sources: sources)
        case .file(let path):
            do {
                return try ConfigurationFile.read(path, acceptsPipe: acceptsPipe) { text in
                    Configuration.read(text, from: path) { named, body in
                        do throws(SystemError) {
                            try ConfigurationFile.read(named, body)
                            return nil
                        } catch {
                            return "\(error)"
                        }
                    }
                }
            } catch {
                return Configuration.Reading(unreadable: path, reason: "\(error)")
            }
        }
    }
}
