"""Two coupled tanks: hold both levels at their set points, by pump rates given minute by minute."""
