"""Gates: where records enter and leave."""
