"""The graph of IGMN's people: the worked example of seven clips, and any other by brute force."""

import pytest
import torch

from relact.nn.graph import Convolution, Graph, Ordered, put, take
from relact.types import Memory

A, B, C = 0, 1, 2
PEOPLE = {A: (-3, -2, -1, 0, 1, 3), B: (-3, -1, 0, 1, 2, 3), C: (-2, -1)}


def memory_of(nodes: list[tuple[int, int]], dim: int = 1) -> Memory:
    """Rows (tick, track) of one clip."""
    dt, track = torch.tensor(nodes, dtype=torch.long).reshape(-1, 2).unbind(1)
    features = (dt[None, :, None] + 3).double().expand(1, -1, dim)
    ones = torch.ones(1, len(nodes))
    return Memory(features=features, dt=dt[None], track=track[None], tag=ones, mask=ones.bool())


def worked_example(max_gap: int = 1, **keep: bool) -> list[Graph]:
    """The graphs of three layers of the seven clips with A, B and C; the clip's own actors are B and A."""
    nodes = [(t, who) for who, ticks in PEOPLE.items() for t in ticks if t]
    own = torch.tensor([[B, A]])
    _, graph = Graph.of(own, torch.ones(1, 2, dtype=torch.bool), memory_of(nodes), radius=3, max_gap=max_gap)
    graphs = [graph]
    for _ in range(2):
        graphs.append(graphs[-1].thinned(keep_unreachable=keep.get("keep", False))[1])
    return graphs


def nodes(graph: Graph) -> dict[tuple[int, int], int]:
    """(who, tick) → hops, of one clip's real nodes."""
    rows = zip(graph.track[0].tolist(), graph.tick[0].tolist(), graph.hop[0].tolist(), strict=True)
    return {(who, tick): hop for (who, tick, hop), real in zip(rows, graph.real[0].tolist(), strict=True) if real}


def links(graph: Graph) -> dict[int, list[tuple[int, int]]]:
    """Who → pairs of ticks."""
    found: dict[int, list[tuple[int, int]]] = {}
    for row in graph.linked[0].nonzero().flatten().tolist():
        who, above = int(graph.track[0, row]), int(graph.track[0, row - 1])
        assert who == above >= 0
        found.setdefault(who, []).append((int(graph.tick[0, row - 1]), int(graph.tick[0, row])))
    return found


def test_worked_example_links_and_hops():
    first, second, third = worked_example()
    assert links(first) == {
        A: [(-3, -2), (-2, -1), (-1, 0), (0, 1)],
        B: [(-1, 0), (0, 1), (1, 2), (2, 3)],
        C: [(-2, -1)],
    }
    assert nodes(first) == {
        (A, -3): 3, (A, -2): 2, (A, -1): 1, (A, 0): 0, (A, 1): 1, (A, 3): -1,
        (B, -3): -1, (B, -1): 1, (B, 0): 0, (B, 1): 1, (B, 2): 2, (B, 3): 3,
        (C, -2): -1, (C, -1): -1,
    }  # fmt: skip
    assert nodes(second) == {(A, -2): 1, (A, 0): 0, (B, 0): 0, (B, 2): 1}
    assert links(second) == {A: [(-2, 0)], B: [(0, 2)]}
    assert nodes(third) == {(A, 0): 0, (B, 0): 0}
    assert links(third) == {}
    assert [int(g.memory.sum()) for g in (first, second, third)] == [12, 2, 0]


def test_worked_example_with_a_gap_of_two():
    first, second, third = worked_example(max_gap=2)
    assert links(first)[A][-1] == (1, 3)
    assert links(first)[B][0] == (-3, -1)
    assert nodes(first)[A, 3] == nodes(first)[B, -3] == 2
    assert set(nodes(second)) == {(A, -2), (A, 0), (A, 3), (B, -3), (B, 0), (B, 2)}
    assert links(second) == {A: [(-2, 0), (0, 3)], B: [(-3, 0), (0, 2)]}
    assert set(nodes(third)) == {(A, 0), (B, 0)}
    assert int(second.memory.sum()) == 4


def test_worked_example_keeping_who_reaches_nobody():
    _, second, third = worked_example(keep=True)
    alone = {(A, 3): -1, (B, -3): -1, (C, -2): -1, (C, -1): -1}
    assert nodes(second) == {(A, -2): 1, (A, 0): 0, (B, 0): 0, (B, 2): 1, **alone}
    assert links(second) == {A: [(-2, 0)], B: [(0, 2)], C: [(-2, -1)]}
    assert nodes(third) == {(A, 0): 0, (B, 0): 0, **alone}


def test_the_actors_keep_their_rows():
    for graph in worked_example():
        rows = graph.actors
        assert take(graph.track, rows).tolist() == [[B, A]]
        assert take(graph.tick, rows).tolist() == [[0, 0]]


def test_the_chain_of_seven_and_nine():
    """A alone, h = tick + 3, FC_- = 1, FC_+ = 0.5, only the ordered aggregator."""
    past = memory_of([(t, A) for t in PEOPLE[A] if t])
    order, graph = Graph.of(torch.tensor([[A]]), torch.ones(1, 1, dtype=torch.bool), past, radius=3, max_gap=1)
    h = take(torch.cat([torch.tensor([[[3.0]]], dtype=torch.float64), past.features], dim=1), order)
    aggregator = Ordered(1).double()
    with torch.no_grad():
        for parameter, value in zip(aggregator.parameters(), (1.0, 0.0, 0.5, 0.0), strict=True):
            parameter.fill_(value)
        seen = []
        for number in range(3):
            if number:
                rows, graph = graph.thinned(keep_unreachable=False)
                h = take(h, rows)
            h = aggregator(h, graph, None)
            seen.append({n: float(v) for n, v in zip(nodes(graph), h[0, graph.real[0], 0], strict=True)})
    assert seen[0][A, -2] == 2
    assert [layer[A, 0] for layer in seen] == [7, 9, 9]


def test_an_isolated_node_keeps_its_state_whatever_the_bias():
    past = memory_of([(2, A), (4, B)])
    _, graph = Graph.of(torch.tensor([[A]]), torch.ones(1, 1, dtype=torch.bool), past, radius=5, max_gap=1)
    h = torch.randn(1, 3, 4)
    assert torch.equal(Ordered(4)(h, graph, None), h)


def test_memory_of_the_keyframe_or_out_of_reach_is_no_part_of_the_graph():
    past = memory_of([(0, A), (1, A), (6, A)])
    _, graph = Graph.of(torch.tensor([[A]]), torch.ones(1, 1, dtype=torch.bool), past, radius=5, max_gap=9)
    assert nodes(graph) == {(A, 0): 0, (A, 1): 1}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("max_gap", [1, 2])
def test_thinning_keeps_every_second_node_and_never_runs_out_of_room(seed: int, max_gap: int):
    generator = torch.Generator().manual_seed(seed)
    radius, people = 9, 5
    everyone = [(t, who) for t in range(-radius, radius + 1) if t for who in range(people)]
    past = memory_of(everyone)
    past = Memory(
        features=past.features.expand(3, -1, -1),
        dt=past.dt.expand(3, -1),
        track=past.track.expand(3, -1),
        tag=past.tag.expand(3, -1),
        mask=torch.rand(3, len(everyone), generator=generator) < torch.tensor([[0.95], [0.6], [0.2]]),
    )
    own = torch.stack([torch.randperm(people, generator=generator)[:3] for _ in range(3)])
    present = torch.tensor([[True] * 3, [True, True, False], [True, False, False]])
    _, graph = Graph.of(own, present, past, radius=radius, max_gap=max_gap)
    for _ in range(4):
        assert bool((take(graph.hop, graph.actors) == 0).all())
        assert torch.equal(take(graph.real, graph.actors), present)
        linked = graph.linked
        step = (graph.hop - graph.hop.roll(1, dims=1)).abs()[linked & (graph.hop >= 0)]
        assert bool((step == 1).all())
        assert bool((graph.tick > graph.tick.roll(1, dims=1))[linked].all())
        rows, thin = graph.thinned(keep_unreachable=False)
        stays = graph.real & (graph.hop % 2 == 0)
        assert torch.equal(thin.real.sum(1), stays.sum(1))
        assert torch.equal(thin.hop[thin.real], graph.hop[stays] // 2)
        assert torch.equal(take(graph.tick, rows)[thin.real], graph.tick[stays])
        assert thin.real.shape[1] - 3 <= (graph.real.shape[1] - 3) // 2
        graph = thin


def test_take_and_put_are_inverse():
    values, rows = torch.randn(2, 5, 3), torch.tensor([[4, 0], [1, 2]])
    assert torch.equal(take(values, rows)[1, 0], values[1, 1])
    assert torch.equal(put(values, rows, take(values, rows)), values)
    assert torch.equal(take(put(values, rows, torch.zeros(2, 2, 3)), rows), torch.zeros(2, 2, 3))


def test_graph_convolution_is_the_mean_of_a_person_at_any_distance():
    past = memory_of([(-3, A), (2, A), (1, B), (2, -1)])
    order, graph = Graph.of(torch.tensor([[A]]), torch.ones(1, 1, dtype=torch.bool), past, radius=5, max_gap=1)
    h = take(torch.tensor([[[3.0], [6.0], [12.0], [5.0], [9.0]]]), order)
    layer = Convolution(1)
    with torch.no_grad():
        layer.linear.weight.fill_(2.0)
        got = take(layer(h, graph, None), order.argsort(1))
    torch.testing.assert_close(got[0, :, 0], torch.tensor([14.0, 14.0, 14.0, 10.0, 18.0]))
