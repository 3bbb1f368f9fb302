"""Names of parameters in the published layouts, mapped to ours; nothing but strings.

Ours: `{slow,fast}.s1.{conv,bn}`, `{slow,fast}.s2.0.{conv,bn}_{a,b,c}`, `slow.s2.0.shortcut.{conv,bn}`,
`fuse.s1.{conv,bn}`, `slow.s4.6.nl.{theta,phi,g,out,bn}`, `head.…`; torchvision's nets keep theirs after `net.`.
A rule is a pattern and its replacement, which may be a function; the first pattern that matches a whole name holds.
"""

import re
from collections.abc import Callable, Iterable

Rule = tuple[str, str | Callable[[re.Match[str]], str]]

_PATHWAYS = {"0": "slow", "1": "fast", "": "slow", "t_": "fast"}
_LETTERS = {"1": "a", "2": "b", "3": "c"}


def _after(number: str, by: int) -> str:
    return str(int(number) + by)


def _way(group: re.Match[str]) -> str:
    return _PATHWAYS[group["p"] or ""]


_PYSLOWFAST: list[Rule] = [
    (r"s1\.pathway(?P<p>\d)_stem\.(conv|bn)\.(.+)", lambda m: f"{_way(m)}.s1.{m[2]}.{m[3]}"),
    (r"s(\d)_fuse\.conv_f2s\.(.+)", r"fuse.s\1.conv.\2"),
    (r"s(\d)_fuse\.bn\.(.+)", r"fuse.s\1.bn.\2"),
    (
        r"s(?P<s>\d)\.pathway(?P<p>\d)_res(?P<i>\d+)\.branch1(?P<n>_bn)?\.(?P<x>.+)",
        lambda m: f"{_way(m)}.s{m['s']}.{m['i']}.shortcut.{'bn' if m['n'] else 'conv'}.{m['x']}",
    ),
    (
        r"s(?P<s>\d)\.pathway(?P<p>\d)_res(?P<i>\d+)\.branch2\.(?P<l>[abc])(?P<n>_bn)?\.(?P<x>.+)",
        lambda m: f"{_way(m)}.s{m['s']}.{m['i']}.{'bn' if m['n'] else 'conv'}_{m['l']}.{m['x']}",
    ),
    (
        r"s(?P<s>\d)\.pathway(?P<p>\d)_nonlocal(?P<i>\d+)\.(?:conv_)?(?P<x>(?:theta|phi|g|out|bn)\..+)",
        lambda m: f"{_way(m)}.s{m['s']}.{m['i']}.nl.{m['x']}",
    ),
    (r"head\.projection\.(.+)", r"head.proj.\1"),
]

_PTV_WAY = r"(?:multipathway_blocks\.(?P<p>\d)\.)?"
_PYTORCHVIDEO: list[Rule] = [
    (rf"blocks\.0\.{_PTV_WAY}conv\.(?P<x>.+)", lambda m: f"{_way(m)}.s1.conv.{m['x']}"),
    (rf"blocks\.0\.{_PTV_WAY}norm\.(?P<x>.+)", lambda m: f"{_way(m)}.s1.bn.{m['x']}"),
    (
        r"blocks\.(\d)\.multipathway_fusion\.conv_fast_to_slow\.(.+)",
        lambda m: f"fuse.s{_after(m[1], 1)}.conv.{m[2]}",
    ),
    (r"blocks\.(\d)\.multipathway_fusion\.norm\.(.+)", lambda m: f"fuse.s{_after(m[1], 1)}.bn.{m[2]}"),
    (
        rf"blocks\.(?P<s>\d)\.{_PTV_WAY}res_blocks\.(?P<i>\d+)\.branch1_(?P<n>conv|norm)\.(?P<x>.+)",
        lambda m: f"{_way(m)}.s{_after(m['s'], 1)}.{m['i']}.shortcut.{_norm(m['n'])}.{m['x']}",
    ),
    (
        rf"blocks\.(?P<s>\d)\.{_PTV_WAY}res_blocks\.(?P<i>\d+)\.branch2\.(?P<n>conv|norm)_(?P<l>[abc])\.(?P<x>.+)",
        lambda m: f"{_way(m)}.s{_after(m['s'], 1)}.{m['i']}.{_norm(m['n'])}_{m['l']}.{m['x']}",
    ),
    (r"(?:blocks\.[56]|detection_head)\.proj\.(.+)", r"head.proj.\1"),
]


def _norm(name: str) -> str:
    return "bn" if name == "norm" else name


_MM_WAY = r"(?:(?P<w>slow|fast)_path\.)?"


def _mm_way(m: re.Match[str]) -> str:
    return m["w"] or "slow"


_MMACTION2: list[Rule] = [
    (rf"{_MM_WAY}conv1\.(?P<n>conv|bn)\.(?P<x>.+)", lambda m: f"{_mm_way(m)}.s1.{m['n']}.{m['x']}"),
    (r"slow_path\.conv1_lateral\.(conv|bn)\.(.+)", r"fuse.s1.\1.\2"),
    (r"slow_path\.layer(\d)_lateral\.(conv|bn)\.(.+)", lambda m: f"fuse.s{_after(m[1], 1)}.{m[2]}.{m[3]}"),
    (
        rf"{_MM_WAY}layer(?P<s>\d)\.(?P<i>\d+)\.conv(?P<l>[123])\.(?P<n>conv|bn)\.(?P<x>.+)",
        lambda m: f"{_mm_way(m)}.s{_after(m['s'], 1)}.{m['i']}.{m['n']}_{_LETTERS[m['l']]}.{m['x']}",
    ),
    (
        rf"{_MM_WAY}layer(?P<s>\d)\.(?P<i>\d+)\.downsample\.(?P<n>conv|bn)\.(?P<x>.+)",
        lambda m: f"{_mm_way(m)}.s{_after(m['s'], 1)}.{m['i']}.shortcut.{m['n']}.{m['x']}",
    ),
    (
        rf"{_MM_WAY}layer(?P<s>\d)\.(?P<i>\d+)\.non_local_block\.conv_out\.bn\.(?P<x>.+)",
        lambda m: f"{_mm_way(m)}.s{_after(m['s'], 1)}.{m['i']}.nl.bn.{m['x']}",
    ),
    (
        rf"{_MM_WAY}layer(?P<s>\d)\.(?P<i>\d+)\.non_local_block\."
        r"(?:conv_)?(?P<l>theta|phi|g|out)(?:\.0)?\.conv\.(?P<x>.+)",
        lambda m: f"{_mm_way(m)}.s{_after(m['s'], 1)}.{m['i']}.nl.{m['l']}.{m['x']}",
    ),
    (r"(?:roi_head\.bbox_head|cls_head)\.fc_cls\.(.+)", r"head.proj.\1"),
    (r"((?:roi_head|cls_head)\..+)", r"head.\1"),
]

_ACAR: list[Rule] = [
    (r"(slow|fast)_(conv|bn)1\.(.+)", r"\1.s1.\2.\3"),
    (r"Tconv(\d)(?:\.0)?\.weight", r"fuse.s\1.conv.weight"),
    (r"Tconv(\d)\.1\.(.+)", r"fuse.s\1.bn.\2"),
    (
        r"(slow|fast)_res(\d)\.(\d+)\.(conv|bn)([123])\.(.+)",
        lambda m: f"{m[1]}.s{_after(m[2], 1)}.{m[3]}.{m[4]}_{_LETTERS[m[5]]}.{m[6]}",
    ),
    (
        r"(slow|fast)_res(\d)\.(\d+)\.downsample\.0\.(.+)",
        lambda m: f"{m[1]}.s{_after(m[2], 1)}.{m[3]}.shortcut.conv.{m[4]}",
    ),
    (
        r"(slow|fast)_res(\d)\.(\d+)\.downsample_bn\.(.+)",
        lambda m: f"{m[1]}.s{_after(m[2], 1)}.{m[3]}.shortcut.bn.{m[4]}",
    ),
    (r"(head\..+)", r"\1"),
]

_STACKS = {"modlue": "bhoi", "module_high": "history.0", "module_roi": "history.1"}  # the first is spelt so there
_AMCRNET: list[Rule] = [
    (
        r"pose_net\.pos_net\.(\d)\.([01])\.(conv|bn)\.(.+)",
        lambda m: f"head.position.layers.{2 * int(m[1]) + int(m[2])}.{m[3]}.{m[4]}",
    ),
    (r"pose_net\.outconv0\.(conv|bn)\.(.+)", r"head.position.layers.12.\1.\2"),
    (r"head\.roi_head\.channel_downsample\.(conv|bn)\.(.+)", r"head.fusion.reduce.\1.\2"),
    (
        r"head\.BHOI_(?P<s>modlue|module_high|module_roi)\.blocks\.(?P<i>\d+)\.(?:(?:attn|mlp)\.)?(?P<x>.+)",
        lambda m: f"head.{_STACKS[m['s']]}.blocks.{m['i']}.{m['x']}",
    ),
    (r"head\.cls_head\.fc_cls\.(.+)", r"head.proj.\1"),
    (r"(head\..+)", r"\1"),
    *_MMACTION2,
]

_BLOBS = {"w": "weight", "b": "bias", "s": "weight", "rm": "running_mean", "riv": "running_var"}


def _blob(m: re.Match[str]) -> str:
    return _BLOBS[m["x"]]


_NORM_BLOB, _CONV_BLOB = r"bn_(?P<x>s|b|rm|riv)", r"(?P<x>w|b)"
_CAFFE2: list[Rule] = [
    (rf"(?P<p>t_)?res_conv1_{_NORM_BLOB}", lambda m: f"{_way(m)}.s1.bn.{_blob(m)}"),
    (rf"(?P<p>t_)?(?:res_)?conv1_{_CONV_BLOB}", lambda m: f"{_way(m)}.s1.conv.{_blob(m)}"),
    (rf"t_pool1_subsample_{_NORM_BLOB}", lambda m: f"fuse.s1.bn.{_blob(m)}"),
    (rf"t_pool1_subsample_{_CONV_BLOB}", lambda m: f"fuse.s1.conv.{_blob(m)}"),
    # The lateral of a stage is named after the stage's last block: res4_5 of R50, res4_22 of R101.
    (rf"t_res(\d)_\d+_branch2c_bn_subsample_{_NORM_BLOB}", lambda m: f"fuse.s{m[1]}.bn.{_blob(m)}"),
    (rf"t_res(\d)_\d+_branch2c_bn_subsample_{_CONV_BLOB}", lambda m: f"fuse.s{m[1]}.conv.{_blob(m)}"),
    (
        rf"(?P<p>t_)?res(?P<s>\d)_(?P<i>\d+)_branch1_{_NORM_BLOB}",
        lambda m: f"{_way(m)}.s{m['s']}.{m['i']}.shortcut.bn.{_blob(m)}",
    ),
    (
        rf"(?P<p>t_)?res(?P<s>\d)_(?P<i>\d+)_branch1_{_CONV_BLOB}",
        lambda m: f"{_way(m)}.s{m['s']}.{m['i']}.shortcut.conv.{_blob(m)}",
    ),
    (
        rf"(?P<p>t_)?res(?P<s>\d)_(?P<i>\d+)_branch2(?P<l>[abc])_{_NORM_BLOB}",
        lambda m: f"{_way(m)}.s{m['s']}.{m['i']}.bn_{m['l']}.{_blob(m)}",
    ),
    (
        rf"(?P<p>t_)?res(?P<s>\d)_(?P<i>\d+)_branch2(?P<l>[abc])_{_CONV_BLOB}",
        lambda m: f"{_way(m)}.s{m['s']}.{m['i']}.conv_{m['l']}.{_blob(m)}",
    ),
    (
        rf"nonlocal_conv(?P<s>\d)_(?P<i>\d+)_{_NORM_BLOB}",
        lambda m: f"slow.s{m['s']}.{m['i']}.nl.bn.{_blob(m)}",
    ),
    (
        rf"nonlocal_conv(?P<s>\d)_(?P<i>\d+)_(?P<l>theta|phi|g|out)_{_CONV_BLOB}",
        lambda m: f"slow.s{m['s']}.{m['i']}.nl.{m['l']}.{_blob(m)}",
    ),
    (rf"pred_{_CONV_BLOB}", lambda m: f"head.proj.{_blob(m)}"),
]

_TORCHVISION: list[Rule] = [
    (r"(?:head\.1|head|fc)\.(weight|bias)", r"head.proj.\1"),
    (r"(.+)", r"net.\1"),
]
_RELACT: list[Rule] = [(r"(?:backbone\.)?((?:slow|fast|fuse|net|head)\..+)", r"\1")]

RULES: dict[str, list[Rule]] = {
    "pyslowfast": _PYSLOWFAST,
    "pyslowfast_caffe2": _CAFFE2,
    "pytorchvideo": _PYTORCHVIDEO,
    "mmaction2": _MMACTION2,
    "acar": _ACAR,
    "amcrnet": _AMCRNET,
    "torchvision": _TORCHVISION,
    "relact": _RELACT,
}
"""Rules by the layout's name."""

_PREFIXES = {
    "pyslowfast": r"(?:module\.)?",
    "pyslowfast_caffe2": "",
    "pytorchvideo": r"(?:module\.)?(?:model\.)?",
    "mmaction2": r"(?:module\.)?(?:backbone\.)?",
    "acar": r"(?:module\.)?(?:backbone\.(?:module\.)?|(?=head\.))?",
    "amcrnet": r"(?:module\.)?(?:backbone\.)?",
    "torchvision": r"(?:module\.)?",
    "relact": "",
}

_SIGNS = {
    "relact": r"(?:backbone\.)?(?:slow\.s1\.conv\.weight|net\.(?:stem|conv_proj|patch_embed)\..+)",
    # Its backbone is named as MMAction2's, so that it is asked for first.
    "amcrnet": r"(?:module\.)?(?:pose_net|head\.BHOI_modlue)\..+",
    "pyslowfast": r".*s1\.pathway0_stem\.conv\.weight",
    "pyslowfast_caffe2": r"(?:res_)?conv1_w",
    "pytorchvideo": r".*blocks\.0\.(?:multipathway_blocks\.0\.)?conv\.weight",
    "mmaction2": r".*conv1\.conv\.weight",
    "acar": r".*slow_conv1\.weight",
    "torchvision": r"(?:module\.)?(?:stem\.0\.weight|conv_proj\.weight|patch_embed\.proj\.weight)",
}

_IGNORED = {
    # What an optimiser left behind, and learning rates.
    "pyslowfast_caffe2": r".*_momentum|.*lr|model_iter|.*_grad",
}


def detect(names: Iterable[str]) -> str | None:
    """The layout that a checkpoint's names are in, by the name of its first convolution."""
    names = list(names)
    for layout, sign in _SIGNS.items():
        if any(re.fullmatch(sign, name) for name in names):
            return layout
    return None


def canonical(name: str, layout: str) -> str | None:
    """Our name for a parameter of a layout; the given name where no rule knows it; None for what is no parameter."""
    if re.fullmatch(_IGNORED.get(layout, r"(?!)"), name):
        return None
    prefix = re.match(_PREFIXES[layout], name)
    bare = name[prefix.end() :] if prefix else name
    if layout == "acar":
        bare = re.sub(r"^head\.module\.", "head.", bare)
    for pattern, replacement in RULES[layout]:
        match = re.fullmatch(pattern, bare)
        if match:
            return replacement(match) if callable(replacement) else match.expand(replacement)
    return name
