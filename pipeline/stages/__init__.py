"""The stages, one public function each, from frozen values to a frozen value; no tracking happens here."""
