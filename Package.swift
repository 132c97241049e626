// swift-tools-version: 6.0
// SPDX-License-Identifier: GPL-3.0-or-later

import PackageDescription

// treatAllWarnings(as:) needs tools version 6.2; Debian 13 has Swift 6.0.
let strict: [SwiftSetting] = [.unsafeFlags(["-warnings-as-errors"])]

let package = Package(
    name: "masqd",
    products: [
        .executable(name: "masqd", targets: ["masqd"])
    ],
    targets: [
        // C and C++, seen by one Swift target each.
        .target(
            name: "CNetfilter",
            linkerSettings: ["mnl", "nftnl", "netfilter_conntrack"].map { .linkedLibrary($0) }
        ),
        .target(
            name: "CToml",
            cxxSettings: [.define("TOML_EXCEPTIONS", to: "0")]
        ),

        // Pure: no file, no clock, no socket, no log.
        .target(name: "MasqCore", dependencies: ["CToml"], swiftSettings: strict),
        // The only target that sees a C pointer of libmnl and libnftnl.
        .target(name: "MasqKernel", dependencies: ["CNetfilter", "MasqCore"], swiftSettings: strict),
        // Only the executable logs, reads arguments and exits.
        .executableTarget(
            name: "masqd", dependencies: ["MasqCore", "MasqKernel"], swiftSettings: strict),

        .target(name: "CTestSupport", path: "Tests/CTestSupport"),
        .target(
            name: "TestSupport", dependencies: ["CTestSupport"], path: "Tests/TestSupport",
            swiftSettings: strict),
        .testTarget(
            name: "MasqCoreTests", dependencies: ["MasqCore", "TestSupport"], exclude: ["Golden"],
            swiftSettings: strict),
        .testTarget(
            name: "MasqKernelTests", dependencies: ["MasqKernel", "MasqCore", "CNetfilter", "TestSupport"],
            swiftSettings: strict),
        .testTarget(name: "MasqdTests", dependencies: ["masqd"], swiftSettings: strict),
        .target(
            name: "FuzzTargets", dependencies: ["MasqCore", "MasqKernel"], path: "Tests/Fuzz/Targets",
            swiftSettings: strict),
        .testTarget(
            name: "FuzzTests", dependencies: ["FuzzTargets", "TestSupport", "masqd"],
            path: "Tests/Fuzz/Tests",
            swiftSettings: strict),
        .testTarget(
            name: "GatewayTests", dependencies: ["TestSupport", "masqd"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)

// Its main() is libFuzzer's, which is there only when scripts/fuzz.sh builds it.
if Context.environment["MASQD_FUZZ"] != nil {
    package.targets += [
        .target(name: "CFuzzDriver", path: "Tests/Fuzz/CDriver"),
        .executableTarget(
            name: "fuzz", dependencies: ["FuzzTargets", "CFuzzDriver"], path: "Tests/Fuzz/Driver",
            swiftSettings: strict),
    ]
}
