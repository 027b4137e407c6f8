"""Printed costs stand beside those of the same networks, with their sources and devices."""

from __future__ import annotations

from srcli.metrics.efficiency import ModelCost
from srcli.recipes.published import published_costs
from srcli.report.printed_costs import printed_cost_table

COST = ModelCost(
    scale=4,
    model="g-idrn",
    size=(256, 256),
    parameters=579_738,
    conv_macs=36_055_000_000,
    challenge_flops=36_182_000_000,
    hd_conv_macs=31_700_000_000,
    peak_memory=None,
    memory_of="host",
)


def test_printed_costs_stand_beside_those_counted_here():
    table = printed_cost_table(published_costs(4, ["g-idrn", "imdn"]), [COST], 4)
    sources = [str(row.cells[-1]) for row in table.rows]
    found = {
        (str(row.cells[0]), source.partition(";")[0]): row.cells[1:-1]
        for row, source in zip(table.rows, sources, strict=True)
    }
    assert found["G-IDRN", "g-idrn paper, Table 5"] == (None, "580", "36.19", "36.18", None)
    assert found["G-IDRN", "g-idrn paper, Table 6"] == ("580", "580", None, "36.18", "17.7")
    assert found["IMDN", "rrlfn paper, Table 2"] == ("715", None, None, None, "20.56")
    assert sum("GTX 1080Ti, mean of B100" in source for source in sources) == 2
    assert sum("device and pictures not named" in source for source in sources) == 1
    assert "never with times measured here" in table.notes[0]
    assert printed_cost_table(published_costs(4, None), [COST], 2).rows == ()
