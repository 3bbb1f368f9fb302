"""Every row of the papers' tables, as printed, with the recipe that is it here, or why there is none."""

from typing import Any

from relact.recipes import EXPERIMENTS
from relact.recipes.layers import STAND_IN, Row

_NETWORK = "another kind of network than those here"
_FLOW = "takes optical flow"
_LFB = "LFB's I3D with non-local blocks is not among the backbones"
_ENSEMBLE = "an ensemble of models that the paper does not list"
_NO_BLOCKS = "AIA's backbone has non-local blocks; this one has none"

_TABLES: dict[tuple[str, str], tuple[tuple[Any, ...], ...]] = {
    ("ACAR-Net", "Table 1a"): (
        ("Baseline + STO", "26.10", "acar_sto"),
        ("Baseline + ACRN", "26.71", "acar_acrn"),
        ("Baseline + AIA", "26.79", "acar_aia"),
        ("Baseline + HR2O", "27.83", "acar_r50"),
    ),
    ("ACAR-Net", "Table 1b"): (
        ("Baseline", "25.39", "acar_baseline"),
        ("Baseline + HR2O", "27.83", "acar_r50"),
        ("ACAR", "28.84", "acar_r50_acfb"),
    ),
    ("ACAR-Net", "Table 1c"): (
        ("Avg", "26.97", "acar_average"),
        ("RN", "27.18", "acar_relation_network"),
        ("NL", "27.83", "acar_r50"),
    ),
    ("ACAR-Net", "Table 1d"): (
        ("Actor First", "27.62", "acar_actor_first"),
        ("Context First", "27.83", "acar_r50"),
    ),
    ("ACAR-Net", "Table 1e"): (
        ("HR2O-1L", "27.63", "acar_depth1"),
        ("HR2O-2L", "27.83", "acar_r50"),
        ("HR2O-3L", "27.25", "acar_depth3"),
    ),
    ("ACAR-Net", "Table 1f"): (
        ("HR2O", "27.83", "acar_r50"),
        ("HR2O + LFB", "27.75", "acar_lfb", "LFB's operator on its bank: how the paper joins it with HR2O is not said"),
        ("HR2O + ACFB", "28.84", "acar_r50_acfb"),
    ),
    ("ACAR-Net", "Table 2"): (
        ("ACRN, S3D", "17.4", None, _FLOW),
        ("Zhang et al., I3D", "22.2", None, "I3D is not among the backbones"),
        ("Action TX, I3D", "25.0", None, "Action Transformer is not among the heads"),
        ("LFB, R-50+NL", "25.8", None, _LFB),
        ("LFB, R-101+NL", "27.4", None, _LFB),
        ("SlowFast, R-50, 8x8", "24.8", "slowfast_r50_ava21"),
        ("SlowFast, R-101, 8x8", "26.3", "slowfast_r101_ava21"),
        ("Ours, R-50, 8x8", "28.3", "acar_r50_acfb_ava21"),
        ("Ours, R-101, 8x8", "30.0", "acar_r101_acfb_ava21"),
    ),
    ("ACAR-Net", "Table 3"): (
        ("SlowFast, R-101+NL", "29.0", "slowfast_r101_nl"),
        ("AIA, R-101+NL", "32.3", "aia_r101", _NO_BLOCKS),
        ("Ours, R-101+NL", "31.4", "acar_r101_nl_acfb"),
        ("Ours, R-101", "33.3", "acar_r101_acfb"),
    ),
    ("ACAR-Net", "Table 4"): (
        ("AIA++, ensemble", "32.91 test", None, _ENSEMBLE),
        ("MSF, ensemble", "31.88 test", None, _ENSEMBLE),
        ("SlowFast, R-101, 8x8 (our impl.)", "32.98", "ava_kinetics_slowfast_r101"),
        ("Ours, R-101, 8x8", "35.84", "ava_kinetics_acar_r101"),
        ("Ours++, R-101, 8x8", "36.36", "ava_kinetics_acar_r101_views"),
        ("Ours++, ensemble", "40.49, 39.62 test", None, _ENSEMBLE),
    ),
    ("ACAR-Net", "Table 5"): (
        ("T-CNN", "67.3", None, _NETWORK),
        ("ACT", "69.5", None, _NETWORK),
        ("STEP, I3D", "75.0", None, _FLOW),
        ("I3D", "76.3", None, _FLOW),
        ("Zhang et al., I3D", "77.9", None, "I3D is not among the backbones"),
        ("S3D-G", "78.8", None, _FLOW),
        ("AIA, R-50", "78.8", "ucf24_aia_r50"),
        ("SlowFast R-50, 8x4 (ours)", "82.4", "ucf24_slowfast_r50"),
        ("Ours w/o ACFB, R50, 8x4", "84.3", "ucf24_acar_r50"),
    ),
    ("AMCRNet", "Table 1"): (
        ("Slowfast R50", "24.8", "slowfast_r50"),
        ("Mvit-B", "27.5", None, "MViT-B is not among the backbones (mvit_v2_s is)"),
        ("AIA R50", "29.8", "aia_r50", _NO_BLOCKS),
        ("ACAR R50", "28.84", "acar_r50_acfb"),
        ("ORViT", "28.0", None, _NETWORK),
        ("TubeR, CSN-50", "29.2", None, _NETWORK),
        ("AMCRNet-slim R50, 4x16", "28.77", "amcrnet_slim_r50_4x16"),
        ("AMCRNet R50, 4x16", "29.17", "amcrnet_r50_4x16"),
        ("AMCRNet-slim R50, 8x8", "29.85", "amcrnet_slim_r50"),
        ("AMCRNet R50, 8x8", "30.23", "amcrnet_r50"),
        ("Slowfast R101", "29.8", "slowfast_r101"),
        ("AIA R101", "32.26", "aia_r101", _NO_BLOCKS),
        ("ACAR R101", "33.3", "acar_r101_acfb"),
        ("TubeR, CSN-152", "33.6", None, _NETWORK),
        ("AMCRNet-slim R101", "34.2", "amcrnet_slim_r101"),
    ),
    ("AMCRNet", "Table 2a"): (
        ("Baseline", "20.6", "amcrnet_baseline"),
        ("Baseline+ACRN", "21.9", "amcrnet_acrn"),
        ("Baseline+AIA", "22.77", "amcrnet_aia"),
        ("Baseline+HR2O", "23.46", "amcrnet_hr2o"),
        ("Baseline+BHOI", "23.88", "amcrnet_slowonly"),
    ),
    ("AMCRNet", "Table 2b"): (
        ("1", "21.13", "amcrnet_depth1"),
        ("2", "22.45", "amcrnet_depth2"),
        ("4", "22.92", "amcrnet_depth4"),
        ("6", "23.16", "amcrnet_slowonly", "what reads as the same setting has 23.88 in Tables 2a, c and d"),
        ("8", "23.02", "amcrnet_depth8"),
    ),
    ("AMCRNet", "Table 2c"): (
        ("w/o pooling layer", "23.16", "amcrnet_no_pooling"),
        ("kernel_size=3", "23.62", "amcrnet_kernel3"),
        ("kernel_size=5", "23.65", "amcrnet_kernel5"),
        ("kernel_size=7", "23.46", "amcrnet_kernel7"),
        ("kernel_size=3,5,7", "23.88", "amcrnet_slowonly"),
    ),
    ("AMCRNet", "Table 2d"): (
        ("w/o pos", "23.61", "amcrnet_no_position"),
        ("learned fix_pos", "23.32", "amcrnet_learned_position"),
        ("sin_pos", "23.75", "amcrnet_sine_position"),
        ("posnet(ours)", "23.88", "amcrnet_slowonly"),
    ),
    ("AMCRNet", "Table 2e"): (
        ("LFB", "24.21", "amcrnet_lfb"),
        ("ACFB", "24.72", "amcrnet_acfb"),
        ("HRFB", "25.64", "amcrnet_hrfb"),
        ("HR-PFB", "25.85", "amcrnet_hrafb"),
    ),
    ("AMCRNet", "Table 2f"): (
        ("Offline", "25.62", "amcrnet_hrfb_offline"),
        ("Online", "25.64", "amcrnet_hrfb"),
    ),
    ("AMCRNet", "Table 3"): (
        ("AIA", "78.8", "ucf24_aia_r50"),
        ("ACAR", "84.3", "ucf24_acar_r50"),
        ("HIT", "84.8", None, "takes poses"),
        ("Ours", "84.9", "ucf24_amcrnet_r50"),
    ),
    ("MRSN", "Table 1"): (
        ("ACRN", "17.4", None, _FLOW),
        ("SlowFast, R-50", "24.8", "slowfast_r50_ava21"),
        ("SlowFast, R-101", "26.3", "slowfast_r101_ava21"),
        ("LFB, R-50", "25.8", None, _LFB),
        ("LFB, R-101", "26.8", None, _LFB),
        ("ACAR, R-50", "28.3", "acar_r50_acfb_ava21"),
        ("MRSN_S, R-50", "27.2", "mrsn_s_r50_ava21"),
        ("MRSN_L, R-50", "28.4", "mrsn_l_r50_ava21"),
    ),
    ("MRSN", "Table 2"): (
        ("SlowOnly, R-50", "20.9", "slowonly_r50"),
        ("SlowFast, R-50", "25.6", "slowfast_r50"),
        ("SlowFast, R-101", "29.1", "slowfast_r101_nl"),
        ("AIA, R-50", "29.8", "aia_r50", _NO_BLOCKS),
        ("AIA, R-101", "32.3", "aia_r101", _NO_BLOCKS),
        ("ACAR, R-101", "33.3", "acar_r101_acfb"),
        ("MRSN_S, R-50", "28.3", "mrsn_s_r50"),
        ("MRSN_L, R-50", "29.2", "mrsn_l_r50"),
        ("MRSN_S, R-101", "32.1", "mrsn_s_r101"),
        ("MRSN_L, R-101", "33.5", "mrsn_l_r101"),
    ),
    ("MRSN", "Table 3"): (
        ("ACT", "69.5", None, _NETWORK),
        ("STEP, I3D", "75.0", None, _FLOW),
        ("C2D", "75.5", None, "C2D is not among the backbones"),
        ("Gu et al.", "76.3", None, _FLOW),
        ("AIA, R-50", "78.7", "ucf24_aia_r50"),
        ("S3D-G", "78.8", None, _FLOW),
        ("MRSN_S, R-50", "80.3", "ucf24_mrsn_r50"),
    ),
    ("MRSN", "Table 4"): (
        ("no component", "20.94", "mrsn_baseline"),
        ("ACRE", "22.35", "mrsn_acre"),
        ("AARE", "21.69", "mrsn_aare"),
        ("ACRE, AARE", "22.89", "mrsn_no_rse"),
        ("ACRE, AARE, RSE", "23.21", "mrsn_slowonly"),
        ("ACRE, AARE, RSE, LRB", "24.22", "mrsn_slowonly_lrb"),
    ),
    ("IGMN", "Table 1a"): (
        ("1, HGNN", "29.32", "igmn_hgnn1"),
        ("1, HGNN-s", "28.92", "igmn_hgnn_s1"),
        ("2, HGNN", "30.11", "igmn_hgnn2"),
        ("2, HGNN-s", "29.26", "igmn_hgnn_s2"),
        ("3, HGNN", "30.76", "igmn_hgnn3"),
        ("3, HGNN-s", "29.21", "igmn_hgnn_s3"),
    ),
    ("IGMN", "Table 1b"): (
        ("Baseline", "26.52", "igmn_baseline"),
        ("+HGNN", "30.76", "igmn_hgnn3"),
        ("+HGNN (frozen)", "30.19", "igmn_frozen"),
    ),
    ("IGMN", "Table 1c"): (
        ("Baseline", "26.52", "igmn_baseline"),
        ("+HGNN (GCN)", "28.95", "igmn_gcn"),
        ("+HGNN (ours)", "30.76", "igmn_hgnn3"),
    ),
    ("IGMN", "Table 1d"): (
        ("Baseline+HGNN", "30.76", "igmn_hgnn3"),
        ("+Semantic", "30.57", "igmn_semantic"),
        ("+Identity", "30.35", "igmn_identity"),
        ("IGMN", "31.22", "igmn_r50"),
    ),
    ("IGMN", "Table 1e"): (
        ("IGMN", "31.22", "igmn_r50"),
        ("IGMN (w/o cls)", "30.51", "igmn_no_cls"),
        ("IGMN (w/o prior)", "30.91", "igmn_no_prior"),
        ("IGMN (w/o aux)", "30.33", "igmn_no_aux"),
    ),
    ("IGMN", "Table 1f"): (
        ("Baseline+HGNN", "30.76", "igmn_hgnn3"),
        ("IGMN (1x)", "31.10", "igmn_expand100"),
        ("IGMN (1.25x)", "31.22", "igmn_r50"),
        ("IGMN (1.5x)", "31.15", "igmn_expand150"),
    ),
    ("IGMN", "Table 2"): (
        ("RelationGraph", "22.2", None, "its network of tracked actors is not among the heads"),
        ("SlowFast, 4x16", "24.2", "slowfast_r50_4x16_ava21"),
        ("LFB", "25.8", None, _LFB),
        ("LSTR", "27.2", None, _FLOW),
        ("Context-Aware RCNN", "28.0", None, _NETWORK),
        ("ACAR-Net", "28.3", "acar_r50_acfb_ava21"),
        ("AIA, v2.1", "28.9", "aia_r50_ava21", _NO_BLOCKS),
        ("IGMN, v2.1", "30.2", "igmn_r50_ava21"),
        ("SlowFast, R101", "29.3", "slowfast_r101_k700"),
        ("AIA, R50", "29.8", "aia_r50", _NO_BLOCKS),
        ("AIA, R101", "32.2", "aia_r101", _NO_BLOCKS),
        ("IGMN, R50", "31.2", "igmn_r50"),
        ("IGMN, R101", "33.0", "igmn_r101"),
    ),
    ("STC", "Table 1"): (
        ("Baseline", "24.80", "slowfast_r50"),
        ("Spatial Context", "26.50", "stc_spatial_pooled"),
        ("Spatial Context, Spatial", "26.75", "stc_spatial"),
        ("Spatial+Temporal Context", "26.65", "stc_pooled"),
        ("Spatial+Temporal Context, Spatial", "27.02", "stc_r50"),
    ),
    ("STC", "Table 2"): (
        ("SlowFast, R50 8x8", "24.80", "slowfast_r50_ava21"),
        ("Action Tx, I3D", "25.00", None, "Action Transformer is not among the heads"),
        ("LFB, R50", "25.80", None, _LFB),
        ("Context-Aware RCNN, R50 16x4", "25.80", None, _NETWORK),
        ("AVSlowFast, R50 4x16", "25.90", None, "takes sound"),
        ("ACAR-Net, R50 8x8", "26.71", "acar_acrn"),
        ("Ours, R50 8x8", "27.02", "stc_r50"),
    ),
}  # fmt: skip


def _row(paper: str, table: str, row: str, figure: str, recipe: str | None, note: str = "") -> Row:
    """A row, and in its note what stands in for the weights that its recipe should start from."""
    weights = EXPERIMENTS[recipe].sources()["train.init"] if recipe is not None else ""
    notes = [note, f"pre-trained on {STAND_IN}" if weights.endswith(STAND_IN) else ""]
    return Row(paper, table, row, figure, recipe, "; ".join(filter(None, notes)))


ROWS = tuple(_row(paper, table, *row) for (paper, table), rows in _TABLES.items() for row in rows)
