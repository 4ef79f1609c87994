"""Small Timeloop files: one machine in both forms, its tables, a product of matrices and its mapping."""

TAGGED = """
architecture:
  version: 0.4
  nodes:
  - !Container
    name: chip
    attributes: {technology: "32nm", global_cycle_seconds: 1e-9}
  - !Component
    name: Main
    class: DRAM
    attributes: {width: 64, datawidth: 8}
  - !Component
    name: Buffer
    class: SRAM
    attributes: {depth: 1024, width: 64, datawidth: 8, read_bandwidth: 4}
    constraints:
      dataspace: {keep: [A, Z], bypass: [B]}
  - !Container
    name: Grid
    spatial: {meshX: 4, meshY: 2}
  - !Parallel
    nodes:
    - !Component
      name: Pad
      class: regfile
      attributes: {depth: 8, width: 8, datawidth: 8}
      constraints: {dataspace: {keep: [B]}}
    - !Component
      name: Sum
      class: regfile
      attributes: {depth: 8, width: 16, datawidth: 16}
      constraints: {dataspace: {keep: [Z]}, temporal: {permutation: [K, M, N]}}
  - !Component
    name: Mac
    class: intmac
    attributes: {multiplier_width: 8}
"""

FLAT = """
dumped_by_timeloop_front_end: true
architecture:
  version: '0.4'
  subtree:
  - name: chip
    attributes: {global_cycle_seconds: 1e-9, SIZE: 8}
    local:
    - {name: "Main[1..1]", class: DRAM, attributes: {width: 64, datawidth: 8, meshX: 1, meshY: 1}}
    - {name: "Buffer[1..1]", class: SRAM, attributes: {depth: 1024, width: 64, datawidth: 8, read_bandwidth: 4}}
    - {name: "inter_Grid_spatial[1..1]", class: dummy_storage, attributes: {width: 1, datawidth: 1, meshX: 1}}
    - {name: "Pad[1..8]", class: regfile, attributes: {depth: 8, width: 8, datawidth: 8, meshX: 4, meshY: 2}}
    - {name: "Sum[1..8]", class: regfile, attributes: {depth: 8, width: 16, datawidth: 16, meshX: 4, meshY: 2}}
    - {name: "Mac[1..8]", class: intmac, attributes: {multiplier_width: 8, meshX: 4, meshY: 2}}
"""

TABLES = """
ERT:
  version: '0.4'
  tables:
  - name: "chip.Main[1..1]"
    actions: [{name: read, energy: 64.0}, {name: write, energy: 64}, {name: leak, energy: 0.0}]
  - name: "chip.Buffer[1..1]"
    actions: [{name: read, energy: 5}, {name: write, energy: 6, arguments: {}}, {name: leak, energy: 1e-3}]
  - {name: "chip.Pad[1..8]", actions: [{name: read, energy: 1}, {name: write, energy: 1}]}
  - {name: "chip.Sum[1..8]", actions: [{name: read, energy: 1}, {name: write, energy: 1}]}
  - {name: "chip.Mac[1..8]", actions: [{name: compute, energy: 0.5}]}
ART:
  version: '0.4'
  tables:
  - {name: "chip.Main[1..1]", area: 0}
  - {name: "chip.Buffer[1..1]", area: 1000}
  - {name: "chip.Pad[1..8]", area: 10}
  - {name: "chip.Sum[1..8]", area: 20}
  - {name: "chip.Mac[1..8]", area: 30}
"""

PROBLEM = """
problem:
  version: 0.4
  shape:
    name: product
    dimensions: [M, K, N]
    coefficients: [{name: step, default: 1}]
    data_spaces:
    - {name: A, projection: [[[M, step]], [[K]]]}
    - {name: B, projection: [[[K]], [[N]]]}
    - {name: Z, projection: [[[M]], [[N]]], read_write: true}
  instance: {M: 8, K: 16, N: 4}
"""

MAPPING = """
mapping:
- {target: Main, type: temporal, factors: M=2 K=2, permutation: KMN}
- {target: Buffer, type: temporal, factors: "M=2,N=0", permutation: [N, M, K]}
- {target: Buffer, type: dataspace, keep: [A, Z], bypass: [B]}
- {target: Grid, type: spatial, factors: [M=2, K=4], permutation: [K, M, N], split: 1}
- {target: Pad, type: datatype, keep: [B], bypass: [A, Z]}
- {target: Sum, type: bypass, keep: [Z], bypass: [A, B]}
- {target: Sum, type: temporal, factors: M1 K2 N1, permutation: KMN}
"""
